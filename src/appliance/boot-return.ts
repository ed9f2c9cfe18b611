/**
 * What the box does when it is back from a disk that was booted once: BootOrder as it was, BootNext,
 * entry and note gone. Pure.
 *
 * Firmware gives numbers anew as entries come and go. So an order is restored by its entries, whatever
 * their numbers are now, and never where the box would be further from its comeback then.
 */
import type { RunReport } from "../rpc/index.ts";
import { type FirmwareBoot, judgeComeback, nameOf, rankComeback } from "./boot-comeback.ts";
import { printOf, type RunNote, unreadable } from "./boot-note.ts";
import { entryDescription, type VariableStep, variableOf } from "./boot-once.ts";
import { encodeNumbers } from "./boot-option.ts";
import { globalVendor, noteName, noteVendor } from "./efi-names.ts";

/** What the box has to do when it finds a note. */
export interface ReturnPlan {
  /** The firmware has not even looked at `BootNext`. */
  readonly orderIgnored: boolean;
  /** Somebody has removed or overwritten our entry. */
  readonly isEntryLost: boolean;
  /** `restored` once the steps are done. */
  readonly order: Exclude<RunReport["bootOrder"]["outcome"], "failed">;
  /** The order that the steps write, or that was noted. */
  readonly wanted: readonly number[];
  /** From the note to now, this boot included; null where nothing counts, or it was set back. */
  readonly boots: number | null;
  /** A sentence each. */
  readonly problems: readonly string[];
  readonly steps: readonly VariableStep[];
}

/** Null where this very system is what was to be booted: it is not for it to tidy up. */
export function planReturn(found: FirmwareBoot, note: RunNote): ReturnPlan | null {
  const { next, options, bootCount } = found;
  const { entry } = note;
  const ours = [...options.keys()].filter((number) => isOurs(number, found));
  if (isUnderTest(found, note)) return null;
  const isEntryLost = entry !== null && ours.length === 0;
  const orderIgnored = entry !== null && next === entry;
  const order = planOrder(found, note);
  const boots = bootCount === null || note.bootCount === null ? -1 : bootCount - note.bootCount;
  const remove = (name: string) => ({ name, vendor: globalVendor, data: null });
  return {
    orderIgnored,
    isEntryLost,
    order: order.outcome,
    wanted: order.wanted,
    boots: boots < 0 ? null : boots,
    problems: [
      ...(isEntryLost ? [`The boot entry ${variableOf(entry)} was lost or overwritten.`] : []),
      ...order.problems,
    ],
    steps: [
      ...orderStep(order.write),
      ...(orderIgnored ? [remove("BootNext")] : []),
      ...ours.map((number) => remove(variableOf(number))),
      { name: noteName, vendor: noteVendor, data: null },
    ],
  };
}

/** Wherever firmware has moved it. */
function isOurs(number: number, { options }: FirmwareBoot): boolean {
  return options.get(number)?.description === entryDescription;
}

/**
 * A number proves nothing: firmware may have given it to another entry, and some of it leaves
 * `BootCurrent` at an entry that it could not boot.
 */
function isUnderTest(found: FirmwareBoot, note: RunNote): boolean {
  const { current, loader, isKexec } = found;
  if (note.entry === null) return isKexec;
  return current !== null && isOurs(current, found) && loader.partUuid === note.partUuid;
}

interface OrderPlan extends Pick<ReturnPlan, "wanted" | "problems"> {
  readonly outcome: ReturnPlan["order"];
  /** Null: nothing is written. */
  readonly write: readonly number[] | null;
}

function planOrder(found: FirmwareBoot, note: RunNote): OrderPlan {
  const { order, options } = found;
  const noted = note.order.map(([number]) => number);
  const again = note.order.map(([number, print]) => findAgain(number, print, options));
  const wanted = again.filter((number) => number !== null);
  const lost = noted.filter((_number, n) => again[n] === null);
  // What the box itself put there is nobody's change.
  const isOwn = (number: number) =>
    note.isAppended && (isOurs(number, found) || (number === note.entry && !options.has(number)));
  const others = order.filter((number) => !isOwn(number));
  const tidied = others.length < order.length ? others : null;
  const isThere = others.filter((number) => options.has(number)).join() === wanted.join();
  if (isThere && lost.length === 0) {
    return { outcome: "same", wanted: noted, problems: [], write: tidied };
  }
  const problems = lost.map((number) => describeLost(number, options));
  const kept = { outcome: "kept" as const, wanted: noted, write: tidied };
  if (note.noReturn || isThere || wanted.length === 0) return { ...kept, problems };
  const restored = { ...found, order: wanted };
  if (rankComeback(restored) < rankComeback(found)) {
    const why = judgeComeback(restored).text;
    problems.push(`BootOrder was left as it is: with what it was, ${why}.`);
    return { ...kept, problems };
  }
  return { outcome: "restored", wanted, problems, write: wanted };
}

/** The number that an entry has now: its own, or else the only one of an entry that is the same. */
function findAgain(number: number, print: string, options: FirmwareBoot["options"]): number | null {
  const own = options.get(number);
  if (own !== undefined && printOf(own) === print) return number;
  if (print === unreadable) return null;
  const same = [...options].filter(([, option]) => printOf(option) === print);
  const [only] = same;
  return only !== undefined && same.length === 1 ? only[0] : null;
}

function describeLost(number: number, options: FirmwareBoot["options"]): string {
  return options.has(number)
    ? `${variableOf(number)} of the boot order is another entry now: ${nameOf(number, options)}.`
    : `${variableOf(number)} of the boot order is there no more.`;
}

/** An empty list would remove the variable. */
function orderStep(numbers: readonly number[] | null): readonly VariableStep[] {
  if (numbers === null || numbers.length === 0) return [];
  return [{ name: "BootOrder", vendor: globalVendor, data: encodeNumbers(numbers) }];
}
