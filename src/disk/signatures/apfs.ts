/** APFS containers. Apple File System Reference, "Container superblock". */

import { ascii, bytes, layout, reserved, u16le, u32le, u64le } from "../../bytes/index.ts";
import { uuid } from "./fields.ts";
import { superblock } from "./signature.ts";

const containerLayout = layout("APFS container superblock", 88, {
  checksum: bytes(8),
  objectId: u64le,
  transaction: u64le,
  type: u16le,
  flags: u16le,
  reserved28: reserved(4),
  magic: ascii(4, "\0"),
  blockSizeBytes: u32le,
  blocks: u64le,
  reserved48: reserved(24),
  uuid,
});

const superblockType = 1;

/** A container; the names of its volumes are not read. */
export const apfs = superblock({
  layout: containerLayout,
  places: () => [0],
  read: ({ type, magic, blockSizeBytes, blocks, uuid }) => {
    if (magic !== "NXSB" || type !== superblockType || blockSizeBytes < 4096) return undefined;
    return { kind: "apfs", uuid, sizeBytes: blocks * BigInt(blockSizeBytes) };
  },
});
