/**
 * The network cards of boxes that were seen, `boxes-seen.json` in the user's state folder: a machine
 * that is off does not say them. Written by us alone; what makes no sense there is forgotten.
 */

import * as v from "valibot";
import type { BoxDescription } from "../rpc/index.ts";

/** A box that has answered once. */
export interface SeenBox {
  /** As the user calls it. */
  readonly name: string;
  /** Of its wired cards, as `52:54:00:12:34:56`. */
  readonly macs: readonly string[];
}

const mac = v.pipe(v.string(), v.regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/));
const fileShape = v.object({
  boxes: v.pipe(v.array(v.object({ name: v.string(), macs: v.array(mac) })), v.maxLength(1000)),
});
const nowhere = "00:00:00:00:00:00";

/** Reads the file. */
export function parseSeenBoxes(json: string): readonly SeenBox[] {
  try {
    const parsed = v.safeParse(fileShape, JSON.parse(json));
    return parsed.success ? parsed.output.boxes : [];
  } catch {
    return [];
  }
}

/** The file's text. */
export function formatSeenBoxes(boxes: readonly SeenBox[]): string {
  return `${JSON.stringify({ boxes }, null, 2)}\n`;
}

/** A box by what it says of itself; null where it names no card that could be woken. */
export function seenBoxOf(
  name: string,
  { addresses }: Pick<BoxDescription, "addresses">,
): SeenBox | null {
  const all = addresses.flatMap(({ mac: found }) => found?.toLowerCase() ?? []);
  const macs = [...new Set(all)].filter((one) => one !== nowhere && v.is(mac, one));
  return macs.length === 0 ? null : { name, macs: macs.toSorted() };
}

/** The boxes with these, in place of others of the same names; the same list where nothing is new. */
export function addSeenBoxes(
  boxes: readonly SeenBox[],
  added: readonly SeenBox[],
): readonly SeenBox[] {
  const names = new Set(added.map(({ name }) => name));
  const all = [...boxes.filter(({ name }) => !names.has(name)), ...added];
  const sorted = all.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return formatSeenBoxes(sorted) === formatSeenBoxes(boxes) ? boxes : sorted;
}
