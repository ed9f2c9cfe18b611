/** What the firmware says of booting, and whether any reset leads back to the box. Pure. */
import { fileOf, formatNumber, isPassedOver, type LoadOption, partitionOf } from "./boot-option.ts";

/** What the firmware's variables say. */
export interface FirmwareBoot {
  /** By number; what cannot be read is null. */
  readonly options: ReadonlyMap<number, LoadOption | null>;
  readonly order: readonly number[];
  /** What this boot came from. */
  readonly current: number | null;
  readonly next: number | null;
  /** How often the machine has booted, where the firmware counts. */
  readonly bootCount: number | null;
  /** The system that runs was started by another one, and not by the firmware. */
  readonly isKexec: boolean;
  readonly loader: LoaderMarks;
}

/**
 * What stands in the boot loader interface's variables, which last until the next reset. A menu sets
 * `LoaderInfo` and `LoaderEntrySelected`; the stub of a unified kernel image sets neither, and the two
 * others only where no menu has.
 */
export interface LoaderMarks {
  /** `LoaderInfo`: `systemd-boot 257.13`. */
  readonly menu: string | null;
  /** `LoaderEntrySelected`. */
  readonly entry: string | null;
  /** `LoaderDevicePartUUID`, in lower case: where the first of menu and image was loaded from. */
  readonly partUuid: string | null;
  /** `LoaderImageIdentifier`: its file. */
  readonly file: string | null;
}

/** Whether any reset leads back to the box, and why. */
export interface Comeback {
  readonly certain: boolean;
  readonly text: string;
}

/**
 * It does if the entry that this box came from is the first of the boot order that firmware would
 * take, be it a medium or the network, and nothing between the two has a choice of its own.
 */
export function judgeComeback(found: FirmwareBoot): Comeback {
  const { options, order, current, isKexec } = found;
  const uncertain = (text: string) => ({ certain: false, text });
  if (isKexec) {
    return uncertain(
      "this box was started by another system, and the firmware knows nothing of it",
    );
  }
  if (current === null) {
    return uncertain("the firmware does not say which entry this box booted from");
  }
  const between = describeLoader(found, current);
  if (between !== null) return uncertain(between);
  const name = nameOf(current, options);
  if (!order.includes(current)) {
    return uncertain(`this box booted from ${name}, which is not in the boot order`);
  }
  const first = order.find((number) => {
    const option = options.get(number);
    return (
      number === current || (option !== undefined && (option === null || !isPassedOver(option)))
    );
  });
  if (first === current) return { certain: true, text: `${name} is first in the boot order` };
  const before = nameOf(first ?? current, options);
  return uncertain(`this box booted from ${name}, and ${before} comes before it`);
}

/** How sure the way back is; of two boot orders the one with less is worse. */
export function rankComeback(found: FirmwareBoot): 0 | 1 | 2 {
  if (judgeComeback(found).certain) return 2;
  return found.current !== null && found.order.includes(found.current) ? 1 : 0;
}

/** An entry's name for people. */
export function nameOf(number: number, options: FirmwareBoot["options"]): string {
  const description = options.get(number)?.description;
  return `Boot${formatNumber(number)}${description ? ` (${description})` : ""}`;
}

/** What stands between the firmware's entry and this box; null where nothing does. */
function describeLoader({ options, loader }: FirmwareBoot, current: number): string | null {
  const { menu, entry, partUuid, file } = loader;
  if (menu !== null || entry !== null) {
    const chosen = entry === null ? "" : ` (its entry ${entry})`;
    return (
      `${menu ?? "a boot menu"} started this box${chosen}, and what it starts at the next reset is ` +
      "not known"
    );
  }
  const option = options.get(current);
  if (!option) return null;
  const name = nameOf(current, options);
  const partition = partitionOf(option.path);
  if (partition !== null && partUuid !== null && partition !== partUuid) {
    return (
      `this box was loaded from partition ${partUuid}, and ${name} is on ${partition}: something ` +
      "that chooses stands between them"
    );
  }
  const wanted = fileOf(option.path);
  if (wanted === null || file === null || isLoadedBy(wanted, file)) return null;
  return (
    `this box was loaded from ${file}, and ${name} is ${wanted}: something that chooses stands ` +
    "between them"
  );
}

/** The same file, or what shim loads from beside itself, and nothing else. */
function isLoadedBy(wanted: string, found: string): boolean {
  const [one, other] = [wanted, found].map((path) =>
    path
      .toUpperCase()
      .split(/[\\/]+/)
      .filter((part) => part !== ""),
  ) as [string[], string[]];
  if (one.join("\\") === other.join("\\")) return true;
  const isBeside = one.slice(0, -1).join("\\") === other.slice(0, -1).join("\\");
  return isBeside && /^GRUB(X64|AA64)\.EFI$/.test(other.at(-1) ?? "");
}
