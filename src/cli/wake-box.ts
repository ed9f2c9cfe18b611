/** Switching a box on over the network, and remembering what that takes. */

import {
  readSeenBoxes,
  rememberSeenBoxes,
  type SeenBox,
  seenBoxOf,
  sendMagicPackets,
  type WakeTo,
} from "../box/index.ts";
import type { BoxDescription } from "../rpc/index.ts";
import { NotFoundError } from "./exit.ts";
import { stateDirectory } from "./user-folders.ts";

/**
 * A box that was seen, with its cards.
 * @throws NotFoundError
 */
export async function seenBox(name: string): Promise<SeenBox> {
  const seen = await readSeenBoxes(stateDirectory());
  const box = seen.find((one) => one.name === name);
  if (box !== undefined) return box;
  const names = seen.map((one) => one.name);
  throw new NotFoundError(
    `Cannot wake ${name}: its network cards are not known. "diskomator ls" remembers those of ` +
      `boxes that are on. ${names.length === 0 ? "None is known yet." : `Known: ${names.join(", ")}.`}`,
  );
}

/**
 * Sends magic packets to it.
 * @returns the addresses that they went to
 */
export async function wakeSeen({ macs }: SeenBox, to: WakeTo | null): Promise<readonly string[]> {
  return await sendMagicPackets(macs, to);
}

/** Keeps the cards of boxes, by the names that their user has for them. */
export async function rememberCards(
  boxes: readonly { readonly name: string; readonly description: BoxDescription }[],
): Promise<void> {
  const seen = boxes.flatMap(({ name, description }) => seenBoxOf(name, description) ?? []);
  // Where the state folder cannot be written, boxes are listed all the same.
  await rememberSeenBoxes(stateDirectory(), seen).catch(() => {});
}
