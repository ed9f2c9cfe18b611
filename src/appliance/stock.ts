/**
 * The daemon's whole judgement in one pure function: what was found on the machine, the owner's
 * wishes and what is remembered become a verdict for each disk and the exports that should be.
 */
import { type BootClues, type BootMemory, isKnown, judgeBootMedium } from "./boot-medium.ts";
import type { Config } from "./config.ts";
import type { DiskChoices } from "./disk-choices.ts";
import type { BlockFacts } from "./facts.ts";
import type { Offer } from "./grant-exports.ts";
import { assignNames, type ExportNames, type HeldNames } from "./identity.ts";
import { type Disk, takeInventory } from "./inventory.ts";
import { isBackstage, judge, type Reason } from "./policy.ts";
import type { ExportMemory } from "./state.ts";

/** All that a judgement depends on. */
export interface StockInput {
  readonly facts: readonly BlockFacts[];
  readonly config: Config;
  readonly box: string;
  readonly bootClues: BootClues;
  readonly bootMemory: BootMemory;
  /** The time in which the boot medium may still turn up is over. */
  readonly bootTimeIsUp: boolean;
  /** Kernel names of disks whose partitions udev had time enough to describe. */
  readonly waitedEnough: ReadonlySet<string>;
  readonly held: HeldNames;
  /** NQN → what is remembered of the export. */
  readonly exports: ReadonlyMap<string, ExportMemory>;
  /** Kernel names of disks whose export failed and is not due again. */
  readonly blocked: ReadonlySet<string>;
  readonly choices: DiskChoices;
}

/** A disk with its verdict: how it is exported, or why not. */
export interface Judged {
  readonly disk: Disk;
  readonly verdict:
    | { readonly kind: "export"; readonly names: ExportNames }
    | { readonly kind: "not exported"; readonly reason: Reason };
}

/** The judgement. */
export interface Stock {
  /** By kernel name, numbers in their order. */
  readonly disks: readonly Judged[];
  /** Disks that hosts may be let in to. */
  readonly offers: readonly Offer[];
  readonly bootMemory: BootMemory;
  /** Kernel names of disks that udev knows, but not yet all partitions of; they get some time. */
  readonly waiting: readonly string[];
}

const collator = new Intl.Collator("en", { numeric: true });

/** Judges everything that is there. */
export function takeStock(input: StockInput): Stock {
  const seen = input.facts
    .map((facts) => ({ facts, disk: takeInventory(facts) }))
    .sort((a, b) => collator.compare(a.facts.name, b.facts.name));
  const boot = judgeBootMedium(
    onStage(seen).map(({ facts, disk }) => ({
      facts,
      identity: disk.identity,
      waitedEnough: input.waitedEnough.has(facts.name),
    })),
    input.bootClues,
    input.bootMemory,
    input.bootTimeIsUp,
  );
  const judged = seen.map(({ facts, disk }) => {
    const verdict = boot.verdicts.get(facts.name) ?? "waiting";
    return { facts, disk, reason: judge(facts, disk, input.config, verdict, input.choices) };
  });
  const chosen = judged.filter(({ reason }) => reason === null).map(({ disk }) => disk);
  const names = assignNames(chosen, input.config.nqnBase, input.box, input.held);
  return {
    disks: judged.map(({ disk, reason }) => ({
      disk,
      verdict:
        reason === null
          ? { kind: "export", names: names.get(disk.name)! }
          : { kind: "not exported", reason },
    })),
    offers: chosen
      .filter(({ name }) => !input.blocked.has(name))
      .map((disk) => offer(disk, names.get(disk.name)!, input)),
    bootMemory: boot.memory,
    waiting: onStage(seen)
      .filter(({ facts }) => facts.udev !== null && !isKnown(facts))
      .filter(({ facts }) => !input.waitedEnough.has(facts.name))
      .map(({ facts }) => facts.name),
  };
}

function onStage<T extends { readonly facts: BlockFacts }>(seen: readonly T[]): readonly T[] {
  return seen.filter(({ facts }) => !isBackstage(facts));
}

function offer(disk: Disk, names: ExportNames, { exports, config }: StockInput): Offer {
  const known = exports.get(names.nqn);
  return {
    base: {
      nqn: names.nqn,
      disk: disk.name,
      hosts: [],
      strings: {
        attr_serial: names.serial,
        attr_model: names.model,
        attr_firmware: names.firmware,
      },
      namespace: {
        device_path: `/dev/${disk.name}`,
        device_uuid: names.uuid,
        device_nguid: names.nguid,
      },
      reopen: known !== undefined && known.diskSequence !== disk.diskSequence,
      resize: known !== undefined && known.sizeBytes !== disk.sizeBytes,
    },
    diskSequence: disk.diskSequence,
    sizeBytes: disk.sizeBytes,
    readOnly: disk.readOnly || config.readOnly,
  };
}
