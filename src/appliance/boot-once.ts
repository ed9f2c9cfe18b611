/**
 * Booting a disk once and setting the firmware right afterwards: from what its variables hold to
 * what is to be written, without touching anything.
 *
 *   the box ──note, entry, BootNext──▶ reset ──firmware──▶ the disk's system ──any reset──▶ the box
 *           ──BootOrder as it was, BootNext, entry and note gone──▶ the box
 *
 * By kexec there is neither entry nor BootNext, and the first reset is the way back:
 *
 *   the box ──note──▶ the disk's kernel, which the box has loaded ──any reset──▶ the box
 *
 * The note is a variable of our own: a machine that loses power at any of these points still knows
 * at its next boot what the order was. BootOrder is written only when somebody else has changed it.
 */
import * as v from "valibot";
import {
  encodeLoadOption,
  encodeNumbers,
  formatNumber,
  hardDrivePath,
  isPassedOver,
  type LoaderPlace,
  type LoadOption,
  optionActive,
  parseLoadOption,
} from "./boot-option.ts";
import { globalVendor, noteName, noteVendor } from "./efi-names.ts";

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
}

/** Kept in the firmware while a disk boots. */
export interface RunNote {
  readonly run: string;
  /** Serial number, or kernel name. */
  readonly disk: string;
  /** ISO 8601. */
  readonly at: string;
  /** Null: by kexec. */
  readonly entry: number | null;
  readonly order: readonly number[];
  readonly bootCount: number | null;
}

/** One change of a variable; `null` removes it. */
export interface VariableStep {
  /** `BootNext`, `Boot0007`, `BootOrder`, or the note. */
  readonly name: string;
  readonly vendor: string;
  readonly data: Uint8Array | null;
}

/** By this an entry of ours is known again. */
export const entryDescription = "Diskomator: run";

/**
 * Whether any reset leads back to the box. It does if the entry that this box came from is the first
 * of the boot order that firmware would take, be it a medium or the network.
 */
export function judgeComeback({ options, order, current, isKexec }: FirmwareBoot): {
  readonly certain: boolean;
  readonly text: string;
} {
  if (isKexec) {
    const text = "this box was started by another system, and the firmware knows nothing of it";
    return { certain: false, text };
  }
  if (current === null) {
    return { certain: false, text: "the firmware does not say which entry this box booted from" };
  }
  const name = nameOf(current, options);
  if (!order.includes(current)) {
    return { certain: false, text: `this box booted from ${name}, which is not in the boot order` };
  }
  const first = order.find((number) => {
    const option = options.get(number);
    return (
      number === current || (option !== undefined && (option === null || !isPassedOver(option)))
    );
  });
  if (first === current) return { certain: true, text: `${name} is first in the boot order` };
  const before = nameOf(first ?? current, options);
  return { certain: false, text: `this box booted from ${name}, and ${before} comes before it` };
}

/** The number of the entry that is written: one of ours that is left, else the lowest free one. */
export function chooseEntry({ options, order }: FirmwareBoot): number {
  for (const [number, option] of options) {
    if (option?.description === entryDescription) return number;
  }
  for (let number = 0; number <= 0xffff; number++) {
    if (!options.has(number) && !order.includes(number)) return number;
  }
  throw new RangeError("A boot order has room for 65536 entries, and they are all taken.");
}

/**
 * What to write before the box goes, in this order: the note; and unless the box itself starts the
 * disk's kernel, what makes the firmware boot `place` at its next boot.
 */
export function planBootOnce(note: RunNote, place: LoaderPlace): readonly VariableStep[] {
  const kept = { name: noteName, vendor: noteVendor, data: formatNote(note) };
  if (note.entry === null) return [kept];
  const option = {
    attributes: optionActive,
    description: entryDescription,
    path: hardDrivePath(place),
  };
  return [
    kept,
    { name: variableOf(note.entry), vendor: globalVendor, data: encodeLoadOption(option) },
    { name: "BootNext", vendor: globalVendor, data: encodeNumbers([note.entry]) },
  ];
}

/** What the box has to do when it finds a note. */
export interface ReturnPlan {
  /** The firmware has not even looked at `BootNext`. */
  readonly orderIgnored: boolean;
  /** Somebody has removed or overwritten our entry. */
  readonly isEntryLost: boolean;
  readonly isOrderChanged: boolean;
  /** From the note to now, this boot included. */
  readonly boots: number | null;
  readonly steps: readonly VariableStep[];
}

/** Null where this very system is what was to be booted: it is not for it to tidy up. */
export function planReturn(found: FirmwareBoot, note: RunNote): ReturnPlan | null {
  const { order, next, options, bootCount } = found;
  const { entry } = note;
  if (entry === null ? found.isKexec : found.current === entry) return null;
  const isOrderChanged = order.join() !== note.order.join();
  const orderIgnored = entry !== null && next === entry;
  const remove = (name: string) => ({ name, vendor: globalVendor, data: null });
  const data = encodeNumbers(note.order);
  const isOurs = entry !== null && options.get(entry)?.description === entryDescription;
  return {
    orderIgnored,
    isEntryLost: entry !== null && !isOurs,
    isOrderChanged,
    boots: bootCount === null || note.bootCount === null ? null : bootCount - note.bootCount,
    steps: [
      ...(isOrderChanged ? [{ name: "BootOrder", vendor: globalVendor, data }] : []),
      ...(orderIgnored ? [remove("BootNext")] : []),
      ...(isOurs ? [remove(variableOf(entry))] : []),
      { name: noteName, vendor: noteVendor, data: null },
    ],
  };
}

/** The name of an entry's variable. */
export function variableOf(number: number): string {
  return `Boot${formatNumber(number)}`;
}

/** What is in a `Boot####` variable, by its number. */
export function readOptions(
  variables: ReadonlyMap<number, Uint8Array>,
): Map<number, LoadOption | null> {
  return new Map([...variables].map(([number, data]) => [number, parseLoadOption(data)]));
}

const bootNumber = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff));
const noteShape = v.object({
  run: v.string(),
  disk: v.string(),
  at: v.pipe(v.string(), v.isoTimestamp()),
  entry: v.nullable(bootNumber),
  order: v.array(bootNumber),
  bootCount: v.nullable(v.number()),
});

/** The note in a variable's bytes; null when it is none of ours. */
export function parseNote(data: Uint8Array): RunNote | null {
  try {
    const parsed = v.safeParse(noteShape, JSON.parse(new TextDecoder().decode(data)));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

function formatNote(note: RunNote): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(note));
}

function nameOf(number: number, options: FirmwareBoot["options"]): string {
  const description = options.get(number)?.description;
  return `Boot${formatNumber(number)}${description ? ` (${description})` : ""}`;
}
