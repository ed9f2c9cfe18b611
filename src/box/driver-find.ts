/** Finding boxes: by name, by address, or all that there are. */

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Sighting } from "./announcement.ts";
import { type BrowseOptions, browse } from "./driver-multicast.ts";
import { BoxError } from "./error.ts";
import type { KnownBox } from "./known.ts";
import { type Place, placeOfAddress, placeOfKnown, placeOfSighting, shortName } from "./place.ts";

/** What to go by. */
export interface FindOptions {
  readonly knownBoxes: readonly KnownBox[];
  readonly signal?: AbortSignal;
  /** How long to listen for announcements; 3 s unless given. */
  readonly listenMs?: number;
  /** In place of multicast DNS. */
  readonly browse?: (options: BrowseOptions) => Promise<readonly Sighting[]>;
}

const listenDefaultMs = 3000;
/** A network on which nothing announces itself is listened to for longer: the answer may be slow. */
const silenceMsMax = 4000;
/** Whoever has the same name answers within this time after the first. */
const twinMs = 150;

/**
 * The box that a user calls so: a known one, an IP address, one that announces itself, a host name.
 * @throws BoxError `no-such-box` with what was found, `ambiguous-box`.
 */
export async function findBox(name: string, options: FindOptions): Promise<Place> {
  const { knownBoxes, signal } = options;
  const known = knownBoxes.find((box) => box.name === name);
  if (known !== undefined) return placeOfKnown(known);
  if (isIP(name.replace(/%.*$/, "")) !== 0) return placeOfAddress(name);
  // A host name has dots, or is in the hosts file; a box's name never has a dot.
  if (name.includes(".")) return placeOfAddress(name);
  const enough = new AbortController();
  const heard = await listen(options, enough.signal, (sightings) => {
    if (sightings.some((one) => isCalled(one, name))) setTimeout(() => enough.abort(), twinMs);
  });
  signal?.throwIfAborted();
  const found = heard.filter((one) => isCalled(one, name));
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return placeOfSighting(only);
  if (only !== undefined) {
    const rows = found.map((one) => `  ${one.name}  ${one.addresses[0]}`).join("\n");
    throw new BoxError(
      "ambiguous-box",
      `${found.length} boxes are called ${name}. Use the longer name, or the address:\n${rows}`,
      { name, boxes: found.map((one) => ({ name: one.name, addresses: one.addresses })) },
    );
  }
  if (await lookup(name).catch(() => null)) return placeOfAddress(name);
  const names = [...heard.filter(isBox).map(shortName), ...knownBoxes.map((box) => box.name)];
  throw new BoxError(
    "no-such-box",
    `No box is called ${name}: nothing of that name announces itself, is known, or is a host. ` +
      (names.length === 0 ? "None was found at all. " : `There are: ${names.join(", ")}. `) +
      'On another network, name it by its address; "diskomator doctor" looks at this machine.',
    { name, found: names },
  );
}

/**
 * Every place where a box is: announced and known, a box that is both once. Listens for `listenMs`;
 * where nothing was heard by then, until something is, at most `silenceMsMax`.
 */
export async function findAll(
  options: FindOptions & { readonly onPlace: (place: Place) => void },
): Promise<{ readonly places: readonly Place[]; readonly foreign: readonly Sighting[] }> {
  const { knownBoxes, onPlace } = options;
  const places = new Map<string, Place>();
  const add = (place: Place): void => {
    const key = place.addresses.join(" ");
    const isThere = [...places.values()].some((one) =>
      one.addresses.some((address) => place.addresses.includes(address) && samePort(one, place)),
    );
    if (isThere) return;
    places.set(key, place);
    onPlace(place);
  };
  for (const box of knownBoxes) add(placeOfKnown(box));
  const enough = new AbortController();
  const listenMs = options.listenMs ?? listenDefaultMs;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    if (places.size > 0) enough.abort();
  }, listenMs);
  const longer = { ...options, listenMs: Math.max(listenMs, silenceMsMax) };
  const heard = await listen(longer, enough.signal, (sightings) => {
    for (const sighting of sightings.filter(isBox)) add(placeOfSighting(sighting));
    if (isLate && places.size > 0) setTimeout(() => enough.abort(), twinMs);
  });
  clearTimeout(timer);
  const addresses = new Set(heard.filter(isBox).flatMap((box) => box.addresses));
  const foreign = heard.filter(
    (one) => one.kind === "discovery" && !one.addresses.some((address) => addresses.has(address)),
  );
  return { places: [...places.values()], foreign };
}

function samePort(one: Place, other: Place): boolean {
  return one.sshPort === other.sshPort;
}

async function listen(
  options: FindOptions,
  enough: AbortSignal | undefined,
  onHeard: (sightings: readonly Sighting[]) => void,
): Promise<readonly Sighting[]> {
  const run = options.browse ?? browse;
  return await run({
    durationMs: options.listenMs ?? listenDefaultMs,
    ...(options.signal ? { signal: options.signal } : {}),
    ...(enough ? { enough } : {}),
    onHeard,
  });
}

function isBox({ kind }: Sighting): boolean {
  return kind === "box";
}

function isCalled(sighting: Sighting, name: string): boolean {
  const names = [sighting.name, shortName(sighting)].map((one) => one.toLowerCase());
  return isBox(sighting) && names.includes(name.toLowerCase());
}
