/**
 * The output of `udevadm monitor --kernel --udev --property`: a banner, then one paragraph per
 * event: a line with source and time, and a line per property.
 */
import type { Properties } from "./facts.ts";

/** Who announced an event: the kernel at once, or udev after its rules ran. */
type UeventSource = "kernel" | "udev";

/** One change of a device. */
export interface Uevent {
  readonly source: UeventSource;
  /** When udevadm received it, in milliseconds of the monotonic clock. */
  readonly atMs: number;
  /** `add`, `change`, `remove`, `bind`, … */
  readonly action: string;
  readonly devicePath: string;
  readonly properties: Properties;
}

/** What came out of a piece of output. */
export type UeventItem =
  /** The monitor listens: nothing that happens from now on is missed. */
  { readonly kind: "listening" } | { readonly kind: "event"; readonly event: Uevent };

/** The longest unfinished paragraph that is kept; a uevent is at most 2 KiB in the kernel. */
const pendingLengthMax = 65_536;

const heading = /^(KERNEL|UDEV) *\[(\d+\.\d+)\] +(\S+) +(\S+)/;

/** A decoder that takes text as it comes, cut anywhere, and gives what is complete. */
export function createUeventDecoder(): { push(text: string): UeventItem[] } {
  let pending = "";
  return {
    push(text) {
      pending += text;
      const items: UeventItem[] = [];
      for (;;) {
        const end = pending.indexOf("\n\n");
        if (end < 0) {
          break;
        }
        const item = parseParagraph(pending.slice(0, end));
        pending = pending.slice(end + 2);
        if (item !== null) {
          items.push(item);
        }
      }
      if (pending.length > pendingLengthMax) {
        pending = "";
      }
      return items;
    },
  };
}

/** One paragraph without its empty line; null for anything that is neither banner nor event. */
function parseParagraph(text: string): UeventItem | null {
  const lines = text.split("\n").filter((line) => line !== "");
  const first = lines[0] ?? "";
  if (first.startsWith("monitor will print")) {
    return { kind: "listening" };
  }
  const match = heading.exec(first);
  if (match === null) {
    return null;
  }
  const properties = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const at = line.indexOf("=");
    if (at > 0) {
      properties.set(line.slice(0, at), line.slice(at + 1));
    }
  }
  const event: Uevent = {
    source: match[1] === "KERNEL" ? "kernel" : "udev",
    atMs: Number(match[2]) * 1000,
    action: match[3]!,
    devicePath: match[4]!,
    properties: Object.fromEntries(properties),
  };
  return { kind: "event", event };
}

/**
 * The kernel name of the disk that an event is about, be it the disk itself or a partition of it.
 * Null for other paths.
 */
export function diskOfEvent(event: Uevent): string | null {
  const parts = event.devicePath.split("/");
  const names = event.properties.DEVTYPE === "partition" ? parts.slice(0, -1) : parts;
  const name = names.at(-1) ?? "";
  return name === "" ? null : name.replaceAll("!", "/");
}
