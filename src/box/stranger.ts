/** Boxes of others, told by what they announce: none of them is asked to let us in. */

import type { Home } from "./driver-home.ts";
import { BoxError } from "./error.ts";
import type { Place } from "./place.ts";

/**
 * Why a box would not be believed, or null when it has to be asked. Who announces another box's key is
 * found out by ssh; who announces a key that nobody knows gets no login, which costs a box more than
 * all that it is asked otherwise.
 */
export function strangerError(
  { name, addresses, sighting }: Place,
  { imageKeys, hostKeys }: Pick<Home, "imageKeys" | "hostKeys">,
): BoxError | null {
  const announced = sighting?.text.get("hostkey");
  // Without an image of the user's own, a box's first key is believed.
  if (!announced || imageKeys.length === 0 || hostKeys.includes(announced)) return null;
  return new BoxError(
    "host-key",
    `${name} at ${addresses[0] ?? "no address"} announces a host key that is not known. It was not ` +
      'booted from an image that this user has built. Build one with "diskomator build" and boot ' +
      "it, or work as the user who built this one.",
    { box: name, addresses, announced },
  );
}
