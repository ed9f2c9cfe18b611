/**
 * Which disk the box booted from. The boot loader names a partition by its UUID. That alone is
 * not enough: our own image may be written to an exported disk, which then carries the same UUID
 * as the stick. So the question is settled once per boot, in favour of the disk that the firmware
 * names, and the answer is remembered by the disk's identity.
 *
 *   open ──a disk that firmware and UUID agree on──▶ settled {one}
 *   open ──time is up, candidates by UUID alone──▶ settled {those that the firmware allows}
 *   open ──time is up, none seen──▶ open: the stick may be slow; the first candidate settles it
 */
import type { BlockFacts } from "./facts.ts";
import { matchFirmwarePath, type PathMatch, type PathNode } from "./firmware-path.ts";
import type { Identity } from "./inventory.ts";
import type { BootVerdict } from "./policy.ts";

/** What loader and firmware left behind. */
export interface BootClues {
  /** UUID of the booted partition in lower case; null after a network boot. */
  readonly partitionUuid: string | null;
  readonly firmwarePath: readonly PathNode[] | null;
}

/** What was found out so far; it outlives the daemon in `/run/diskomator/boot-medium.json`. */
export interface BootMemory {
  readonly settled: boolean;
  /** Keys of the disks taken for the boot medium, see `identityKey`. */
  readonly media: readonly string[];
  /** Keys of disks that carry the UUID where the firmware says it was not. */
  readonly doubtful: readonly string[];
  /** Keys of the disks that were examined and are none; flashing them later changes nothing. */
  readonly others: readonly string[];
}

/** What a booted box begins with. */
export const emptyBootMemory: BootMemory = { settled: false, media: [], doubtful: [], others: [] };

/** A disk to judge. */
export interface BootCandidate {
  readonly facts: BlockFacts;
  readonly identity: Identity;
  /** Its partitions have had their time: what udev did not say by now, it will not say. */
  readonly waitedEnough: boolean;
}

/** Judges all disks at once, since one that is certain acquits the others. */
export function judgeBootMedium(
  candidates: readonly BootCandidate[],
  clues: BootClues,
  memory: BootMemory,
  timeIsUp: boolean,
): { readonly verdicts: ReadonlyMap<string, BootVerdict>; readonly memory: BootMemory } {
  const next =
    memory.settled || clues.partitionUuid === null
      ? memory
      : learn(candidates, clues, memory, timeIsUp);
  const decided = next.settled || clues.partitionUuid === null || timeIsUp;
  const verdicts = new Map<string, BootVerdict>();
  for (const candidate of candidates) {
    verdicts.set(candidate.facts.name, verdictOf(candidate, next, decided));
  }
  return { verdicts, memory: next };
}

function learn(
  candidates: readonly BootCandidate[],
  clues: BootClues,
  memory: BootMemory,
  timeIsUp: boolean,
): BootMemory {
  const media = new Set(memory.media);
  const doubtful = new Set(memory.doubtful);
  const others = new Set(memory.others);
  for (const { facts, identity } of candidates) {
    const key = identityKey(identity);
    if (carries(facts, clues.partitionUuid) && !others.has(key)) {
      const match = matchOf(facts, clues);
      if (match === "match") {
        return { settled: true, media: [key], doubtful: [], others: [] };
      }
      (match === "unknown" ? media : doubtful).add(key);
    } else if (isKnown(facts) && facts.sectors512 > 0 && !media.has(key) && !doubtful.has(key)) {
      others.add(key);
    }
  }
  if (timeIsUp && media.size + doubtful.size > 0) {
    const chosen = media.size > 0 ? media : doubtful;
    return { settled: true, media: [...chosen], doubtful: [], others: [] };
  }
  return { settled: false, media: [...media], doubtful: [...doubtful], others: [...others] };
}

function matchOf(facts: BlockFacts, clues: BootClues): PathMatch {
  return clues.firmwarePath === null
    ? "unknown"
    : matchFirmwarePath(clues.firmwarePath, facts.devicePath);
}

function verdictOf(candidate: BootCandidate, memory: BootMemory, decided: boolean): BootVerdict {
  const key = identityKey(candidate.identity);
  if (memory.media.includes(key) || memory.doubtful.includes(key)) {
    return memory.settled && memory.media.length === 1 ? "boot" : "maybe-boot";
  }
  if (isKnown(candidate.facts) || (decided && candidate.waitedEnough)) {
    return "other";
  }
  return "waiting";
}

/** Whether udev has described the disk and every partition that the kernel sees on it. */
export function isKnown(facts: BlockFacts): boolean {
  return facts.udev !== null && facts.partitions.every((partition) => partition.udev !== null);
}

function carries(facts: BlockFacts, partitionUuid: string | null): boolean {
  return facts.partitions.some(
    (partition) => partition.udev?.ID_PART_ENTRY_UUID?.toLowerCase() === partitionUuid,
  );
}

/** A disk's identity as one text, for sets and files. */
function identityKey(identity: Identity): string {
  return `${identity.kind}:${identity.value}`;
}

/** Reads the remembered state; anything strange counts as nothing remembered. */
export function parseBootMemory(json: string): BootMemory {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return emptyBootMemory;
  }
  if (typeof value !== "object" || value === null) {
    return emptyBootMemory;
  }
  const { settled, media, doubtful, others } = value as Partial<Record<keyof BootMemory, unknown>>;
  return typeof settled === "boolean" && isTexts(media) && isTexts(doubtful) && isTexts(others)
    ? { settled, media, doubtful, others }
    : emptyBootMemory;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
