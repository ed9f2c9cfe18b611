/**
 * The note that the box keeps in a variable of its own while one of its disks boots: a machine that
 * loses power then still knows at its next boot what was, and what was to be.
 */
import { createHash } from "node:crypto";
import * as v from "valibot";
import type { LoadOption } from "./boot-option.ts";

const bootNumber = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff));
const noteShape = v.object({
  run: v.string(),
  /** Serial number, or kernel name. */
  disk: v.string(),
  at: v.pipe(v.string(), v.isoTimestamp()),
  /** Null: by kexec. */
  entry: v.nullable(bootNumber),
  /** Of the partition whose loader boots. */
  partUuid: v.string(),
  /** The boot order as it was: numbers, and by what their entries are known again. */
  order: v.array(v.tuple([bootNumber, v.string()])),
  bootCount: v.nullable(v.number()),
  /** The box need not come back: the boot order is none of its business any more. */
  noReturn: v.boolean(),
  /** The entry was put at the end of the boot order. */
  isAppended: v.boolean(),
  /** The entry has the full path of the disk. */
  isFullPath: v.boolean(),
  /** Records of crashes that were there before, by their prints. */
  crashes: v.array(v.string()),
});

/** Kept in the firmware while a disk boots. */
export type RunNote = Readonly<v.InferOutput<typeof noteShape>>;

/** The note in a variable's bytes; null when it is none of ours. */
export function parseNote(data: Uint8Array): RunNote | null {
  try {
    const parsed = v.safeParse(noteShape, JSON.parse(new TextDecoder().decode(data)));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

/** The bytes of a note. */
export function formatNote(note: RunNote): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(note));
}

/** A boot order for a note. Numbers without an entry mean nothing to firmware and are left out. */
export function noteOrder(
  order: readonly number[],
  options: ReadonlyMap<number, LoadOption | null>,
): RunNote["order"] {
  return order.flatMap((number): RunNote["order"] => {
    const option = options.get(number);
    return option === undefined ? [] : [[number, printOf(option)]];
  });
}

/** Short, since firmware has little room; two entries of one machine have the same only if they are. */
export function printOf(option: LoadOption | null): string {
  if (option === null) return unreadable;
  const { description, path } = option;
  const hash = createHash("sha256").update(`${description}\0`).update(path);
  return hash.digest("hex").slice(0, printDigits);
}

/** The print of an entry that cannot be read. */
export const unreadable = "";
const printDigits = 8;
