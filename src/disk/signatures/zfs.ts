/**
 * Members of ZFS pools, by the name-value list of their labels.
 *
 * Sources: "ZFS On-Disk Specification" chapter 1; OpenZFS's include/sys/nvpair.h for XDR lists.
 */

import { layout, u8, u32be, viewOf } from "../../bytes/index.ts";
import { text, u64be } from "./fields.ts";
import { type Probe, superblock } from "./signature.ts";

/** Two labels lie at the start and two at the end, in whole labels. */
const labelBytes = 256 * 1024;
const listAt = 16 * 1024;
/** The pool's own names are the first pairs of the list. */
const listBytes = 8 * 1024;

const listHeader = layout("ZFS name-value list header", 12, {
  /** 1: XDR, which every label has. */
  encoding: u8,
  endian: u8,
  unused2: u8,
  unused3: u8,
  version: u32be,
  flags: u32be,
});

const pairHeader = layout("ZFS name-value pair", 12, {
  encodedBytes: u32be,
  decodedBytes: u32be,
  nameBytes: u32be,
});

const pairTypes = { uint64: 8, string: 9 } as const;
const xdr = 1;

/** A member by its first label. */
export const zfs: Probe = zfsProbe(() => [listAt], false);

/** A member by the other three. */
export const zfsCopy: Probe = zfsProbe((sizeBytes) => {
  const end = sizeBytes - (sizeBytes % labelBytes);
  return [labelBytes, end - 2 * labelBytes, end - labelBytes].map((label) => label + listAt);
}, true);

function zfsProbe(places: (sizeBytes: number) => readonly number[], isCopy: boolean): Probe {
  return superblock({
    layout: listHeader,
    places,
    read: async ({ encoding, endian, unused2, unused3 }, region, offsetBytes) => {
      if (encoding !== xdr || endian > 1 || unused2 + unused3 !== 0) return undefined;
      const list = await region.read(offsetBytes, listBytes);
      const pairs = list && decodePairs(list);
      const pool = pairs?.get("pool_guid");
      // A spare has no pool, only its own GUID.
      if (!pairs || (pool === undefined && !pairs.has("guid"))) return undefined;
      const named = pairs.get("name");
      const name = typeof named === "string" ? named : undefined;
      return {
        kind: "zfs_member",
        version: numberText(pairs.get("version")),
        label: name,
        group: name,
        uuid: numberText(pool),
        memberUuid: numberText(pairs.get("guid")),
        isCopy,
      };
    },
  });
}

function numberText(value: bigint | string | undefined): string | undefined {
  return typeof value === "bigint" ? `${value}` : undefined;
}

/** The numbers and strings of a list, up to where it ends or makes no sense. */
function decodePairs(list: Uint8Array): Map<string, bigint | string> {
  const view = viewOf(list);
  const pairs = new Map<string, bigint | string>();
  for (let at = listHeader.size; at + pairHeader.size <= list.byteLength; ) {
    const { encodedBytes, nameBytes } = pairHeader.decode(list, at);
    const end = at + encodedBytes;
    const typeAt = at + pairHeader.size + padded(nameBytes);
    // A type, a count, and eight bytes: a number, or a string's length and beginning.
    const valueAt = typeAt + 8;
    if (encodedBytes === 0 || end > list.byteLength || valueAt + 8 > end) break;
    const name = text(nameBytes).read(view, at + pairHeader.size);
    const type = u32be.read(view, typeAt);
    if (type === pairTypes.uint64) pairs.set(name, u64be.read(view, valueAt));
    if (type === pairTypes.string) {
      const length = u32be.read(view, valueAt);
      if (valueAt + 4 + length <= end) pairs.set(name, text(length).read(view, valueAt + 4));
    }
    at = end;
  }
  return pairs;
}

function padded(length: number): number {
  return Math.ceil(length / 4) * 4;
}
