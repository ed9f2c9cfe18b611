/** Which disks are exported; every other one gets a stated reason. */
import type { Config } from "./config.ts";
import type { DiskChoices } from "./disk-choices.ts";
import type { BlockFacts } from "./facts.ts";
import type { Disk } from "./inventory.ts";

/** Why a block device is not exported. */
export type ReasonCode =
  | "boot-medium"
  | "empty"
  | "floppy"
  | "optical"
  | "nvme-of"
  | "hidden"
  | "loop"
  | "ram"
  | "zram"
  | "composed"
  | "network"
  | "flash"
  | "not-listed"
  | "withdrawn"
  | "waiting";

/** A reason, as a code for programs and a sentence for the screen. */
export interface Reason {
  readonly code: ReasonCode;
  readonly text: string;
}

/** What is known about a disk and the medium that the box booted from. */
export type BootVerdict = "boot" | "maybe-boot" | "other" | "waiting";

/** Devices that stand for no disk of the machine, by kernel name; the screen leaves them out. */
const backstage: readonly [pattern: RegExp, code: ReasonCode][] = [
  [/^loop\d+$/, "loop"],
  [/^ram\d+$/, "ram"],
  [/^zram\d+$/, "zram"],
];

const byName: readonly [pattern: RegExp, reason: Reason][] = [
  [/^fd\d+$/, { code: "floppy", text: "floppy drive" }],
  [/^dm-\d+$/, { code: "composed", text: "made of other disks" }],
  [/^md(?:\d+|_.+|\/.+)$/, { code: "composed", text: "made of other disks" }],
  [/^(?:nbd|rbd|drbd)\d+$/, { code: "network", text: "lies on another machine" }],
  [/^mtdblock\d+$/, { code: "flash", text: "raw flash memory" }],
];

const nvmeTransportsOfFabrics = new Set(["tcp", "rdma", "fc", "loop"]);

/** Whether a device is none of the machine's disks and nobody wants to read of it. */
export function isBackstage(facts: BlockFacts): boolean {
  return backstage.some(([pattern]) => pattern.test(facts.name)) || facts.hidden;
}

/** Whether a reason is one that only the state file needs to hold. */
export function isBackstageReason(code: ReasonCode): boolean {
  return code === "hidden" || backstage.some(([, known]) => known === code);
}

/** Why `disk` is not exported, or null when it is. */
export function judge(
  facts: BlockFacts,
  disk: Disk,
  config: Config,
  boot: BootVerdict,
  choices: DiskChoices,
): Reason | null {
  return judgeKind(facts) ?? judgeBoot(config, boot) ?? judgeState(facts, disk, config, choices);
}

function judgeKind(facts: BlockFacts): Reason | null {
  const hiddenKind = backstage.find(([pattern]) => pattern.test(facts.name));
  if (hiddenKind !== undefined) {
    return { code: hiddenKind[1], text: "memory of the box itself" };
  }
  if (facts.hidden) {
    return { code: "hidden", text: "one path of a disk that is shown under another name" };
  }
  const named = byName.find(([pattern]) => pattern.test(facts.name));
  if (named !== undefined) {
    return named[1];
  }
  return facts.transports.some((name) => nvmeTransportsOfFabrics.has(name))
    ? { code: "nvme-of", text: "comes over NVMe-oF from another machine" }
    : null;
}

function judgeBoot(config: Config, boot: BootVerdict): Reason | null {
  if (config.export === "all-and-boot-medium") {
    return null;
  }
  switch (boot) {
    case "boot":
      return { code: "boot-medium", text: "this box booted from it" };
    case "maybe-boot":
      return {
        code: "boot-medium",
        text: "this box may have booted from it: it carries the partition that was booted",
      };
    case "waiting":
      return { code: "waiting", text: "waiting for its partitions to be known" };
    case "other":
      return null;
  }
}

function judgeState(
  facts: BlockFacts,
  disk: Disk,
  config: Config,
  choices: DiskChoices,
): Reason | null {
  if (facts.udev === null) {
    return { code: "waiting", text: "waiting for the disk to be identified" };
  }
  if (choices.withdrawn.has(disk.identity.value)) {
    return { code: "withdrawn", text: "withdrawn by its owner" };
  }
  const isAsked =
    config.export !== "listed" ||
    choices.offered.has(disk.identity.value) ||
    config.devices.some((name) => names(facts, disk, name));
  if (!isAsked) {
    return { code: "not-listed", text: "not among the disks that were asked for" };
  }
  if (disk.sizeBytes === 0) {
    return { code: "empty", text: "no medium in the drive" };
  }
  return facts.udev.ID_CDROM === "1" ? { code: "optical", text: "optical drive" } : null;
}

/** Whether an entry of `devices` means this disk. */
function names(facts: BlockFacts, disk: Disk, entry: string): boolean {
  const bare = entry.startsWith("/dev/") ? entry.slice("/dev/".length) : entry;
  const links = (facts.udev?.DEVLINKS ?? "").split(" ");
  return (
    bare === disk.name ||
    entry === disk.serial ||
    entry === disk.identity.value ||
    links.includes(`/dev/${bare}`)
  );
}
