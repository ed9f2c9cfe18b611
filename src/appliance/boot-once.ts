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
 * The way there is planned here, the way back in `boot-return.ts`. BootOrder is written only when
 * somebody else has changed it; or where the user wants it, since there is firmware that drops entries
 * which stand in no order: then the entry is its last.
 */
import type { FirmwareBoot } from "./boot-comeback.ts";
import { formatNote, type RunNote } from "./boot-note.ts";
import { encodeLoadOption, encodeNumbers, formatNumber, optionActive } from "./boot-option.ts";
import { globalVendor, noteName, noteVendor } from "./efi-names.ts";

/** One change of a variable; `null` removes it. */
export interface VariableStep {
  /** `BootNext`, `Boot0007`, `BootOrder`, or the note. */
  readonly name: string;
  readonly vendor: string;
  readonly data: Uint8Array | null;
}

/** By this an entry of ours is known again. */
export const entryDescription = "Diskomator: run";

/** The number of the entry that is written: one of ours that is left, else the lowest free one. */
export function chooseEntry({ options, order }: Pick<FirmwareBoot, "options" | "order">): number {
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
 * disk's kernel, what makes the firmware boot `path` at its next boot.
 * @param order `BootOrder` as it is
 */
export function planBootOnce(
  note: RunNote,
  path: Uint8Array,
  order: readonly number[],
): readonly VariableStep[] {
  const kept = { name: noteName, vendor: noteVendor, data: formatNote(note) };
  const { entry } = note;
  if (entry === null) return [kept];
  const step = (name: string, data: Uint8Array) => ({ name, vendor: globalVendor, data });
  const option = { attributes: optionActive, description: entryDescription, path };
  const appended = [...order.filter((number) => number !== entry), entry];
  return [
    kept,
    step(variableOf(entry), encodeLoadOption(option)),
    ...(note.isAppended ? [step("BootOrder", encodeNumbers(appended))] : []),
    step("BootNext", encodeNumbers([entry])),
  ];
}

/** The name of an entry's variable. */
export function variableOf(number: number): string {
  return `Boot${formatNumber(number)}`;
}
