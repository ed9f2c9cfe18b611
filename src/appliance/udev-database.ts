/**
 * udev's record of one device, as it lies in `/run/udev/data/b8:0`: one line per fact, with a
 * letter that says what it is. Reading it spares a process per disk; udevd writes it before it
 * sends the event that makes us look.
 */
import type { Properties } from "./facts.ts";

/** The facts that we use. */
export interface UdevRecord {
  readonly properties: Properties;
  /** Names below /dev that point to the device: `disk/by-id/nvme-…`. */
  readonly links: readonly string[];
}

/** Reads a record; lines of other kinds are left out, as libudev does. */
export function parseUdevRecord(text: string): UdevRecord {
  const properties = new Map<string, string>();
  const links: string[] = [];
  for (const line of text.split("\n")) {
    const value = line.slice(2);
    if (line.startsWith("S:") && value !== "") {
      links.push(value);
    } else if (line.startsWith("E:")) {
      const at = value.indexOf("=");
      if (at > 0) {
        properties.set(value.slice(0, at), value.slice(at + 1));
      }
    }
  }
  return { properties: Object.fromEntries(properties), links };
}
