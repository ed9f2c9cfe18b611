/**
 * A warning after flashing: what makes a disk be taken for another one of its box. The right disk
 * was written, and the machine then boots or mounts from the other.
 */

import {
  describeDisk,
  type NamedDescription,
  type SharedIdentifier,
  sharedIdentifiers,
} from "../disk/index.ts";
import { connectController, discover } from "../initiator/index.ts";
import type { OpenTarget } from "./namespace-target.ts";

/** Boxes with more disks are looked at in part. */
const neighboursMax = 64;
/** Names that most disks have: nobody boots by them alone. */
const commonName = /^(efi|esp|boot|bios|system)\b/i;

/**
 * Identifiers that written disks share with each other, or with other disks of the same box. What
 * cannot be looked at is left out: this is a warning only.
 */
export async function findShared(
  written: readonly OpenTarget[],
  signal: AbortSignal,
): Promise<SharedIdentifier[]> {
  const names = new Set(written.map(({ name }) => name));
  const descriptions = [
    ...(await Promise.all(written.map((target) => describe(target.name, target, signal)))),
    ...(await describeNeighbours(written, signal)),
  ].flatMap((one) => one ?? []);
  return sharedIdentifiers(descriptions).filter(
    ({ kind, value, places }) =>
      places.some(({ disk }) => names.has(disk)) &&
      !((kind === "partition-name" || kind === "filesystem-label") && commonName.test(value)),
  );
}

/** `disk-id 1234… is on box:a and box:b`, the first and how many more. */
export function formatShared(shared: readonly SharedIdentifier[]): string {
  const [first, ...others] = shared;
  if (!first) return "";
  const disks = [...new Set(first.places.map(({ disk }) => disk))].join(" and ");
  const more = others.length > 0 ? `, and ${others.length} more like it` : "";
  const what = first.kind.replace("-", " ");
  return (
    `the ${what} ${first.value} is on ${disks}${more}. A system that finds its disks by ` +
    "such identifiers may take the wrong one: keep only one of them attached, or change them."
  );
}

async function describe(
  disk: string,
  target: Pick<OpenTarget, "disk">,
  signal: AbortSignal,
): Promise<NamedDescription | undefined> {
  try {
    return { disk, description: await describeDisk(target.disk, { signal }) };
  } catch {
    return undefined;
  }
}

async function describeNeighbours(written: readonly OpenTarget[], signal: AbortSignal) {
  const boxes = new Map(
    written.flatMap(({ place }) => (place ? [[`${place.host} ${place.port}`, place]] : [])),
  );
  const known = new Set(written.map(({ place }) => place?.nqn));
  const found = await Promise.all(
    [...boxes.values()].map(async ({ host, port }) => {
      const entries = await discover({ host, port, signal }).catch(() => []);
      const others = entries.filter(
        ({ subject, transport, subsystemNqn }) =>
          subject === "subsystem" && transport === "tcp" && !known.has(subsystemNqn),
      );
      const nqns = new Set(others.map(({ subsystemNqn }) => subsystemNqn));
      return await Promise.all(
        [...nqns].slice(0, neighboursMax).map((nqn) => lookAt(host, port, nqn, signal)),
      );
    }),
  );
  return found.flat();
}

/** A box's disks are all to be had where one of them is. */
async function lookAt(
  host: string,
  port: number,
  nqn: string,
  signal: AbortSignal,
): Promise<NamedDescription | undefined> {
  try {
    await using controller = await connectController({ host, port, subsystemNqn: nqn, signal });
    await using disk = await controller.openNamespace(1, { signal });
    const serial = controller.identify.sn.trim();
    return await describe(`${host}:${serial || nqn}`, { disk }, signal);
  } catch {
    return undefined;
  }
}
