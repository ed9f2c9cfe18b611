/**
 * Identifiers that several disks carry. A system that mounts by UUID or label then takes whichever
 * disk it meets first, as after the same image was written to two disks of one machine.
 */

import type { DiskDescription } from "./description.ts";
import type { Signature } from "./signatures/signature.ts";

/** What sort of identifier is shared. */
export type SharedKind =
  | "disk-id"
  | "partition-uuid"
  | "partition-name"
  | "filesystem-uuid"
  | "filesystem-label";

/** One place that carries it. */
export interface SharedPlace {
  /** As the caller named the disk. */
  readonly disk: string;
  /** Number of the partition; none for the disk itself. */
  readonly partition?: number;
}

/** One identifier that more than one disk carries. */
export interface SharedIdentifier {
  readonly kind: SharedKind;
  readonly value: string;
  readonly places: readonly SharedPlace[];
}

/** A disk and the caller's name for it. */
export interface NamedDescription {
  readonly disk: string;
  readonly description: DiskDescription;
}

/** Sets that lie on several disks by design: their members share UUID and label. */
const sets = ["linux_raid_member", "zfs_member", "btrfs", "bcachefs"];

/**
 * Finds what makes one disk be taken for another: disk GUIDs, PARTUUIDs, file system UUIDs, and the
 * names that people boot by. Members of one array, pool or multi-disk file system are not found.
 */
export function sharedIdentifiers(disks: readonly NamedDescription[]): SharedIdentifier[] {
  const found = new Map<string, { kind: SharedKind; value: string; places: SharedPlace[] }>();
  const note = (kind: SharedKind, value: string | undefined, place: SharedPlace) => {
    if (!value) return;
    const key = `${kind} ${value}`;
    const one = found.get(key) ?? { kind, value, places: [] };
    one.places.push(place);
    found.set(key, one);
  };
  for (const { disk, description } of disks) {
    const { table, partitions, signatures } = description;
    if (table.kind !== "none") note("disk-id", table.diskId, { disk });
    else noteSignature(signatures[0], { disk }, note);
    for (const { number, partUuid, name, signatures } of partitions) {
      const place = { disk, partition: number };
      note("partition-uuid", partUuid, place);
      note("partition-name", name, place);
      noteSignature(signatures[0], place, note);
    }
  }
  return [...found.values()].filter(({ places }) => new Set(places.map((at) => at.disk)).size > 1);
}

function noteSignature(
  signature: Signature | undefined,
  place: SharedPlace,
  note: (kind: SharedKind, value: string | undefined, place: SharedPlace) => void,
): void {
  if (!signature) return;
  const { kind, uuid, memberUuid, label } = signature;
  const isSet = sets.includes(kind);
  note("filesystem-uuid", isSet ? memberUuid : uuid, place);
  if (!isSet) note("filesystem-label", label, place);
}
