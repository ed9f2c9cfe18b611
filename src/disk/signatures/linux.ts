/**
 * File systems of Linux.
 *
 * Sources: Linux's fs/ext4/ext4.h, fs/xfs/libxfs/xfs_format.h, include/uapi/linux/btrfs_tree.h,
 * include/linux/f2fs_fs.h, fs/bcachefs/bcachefs_format.h, include/uapi/linux/bcache.h,
 * fs/erofs/erofs_fs.h, fs/squashfs/squashfs_fs.h.
 */

import {
  ascii,
  bits,
  bytes,
  flag,
  layout,
  reserved,
  u8,
  u16be,
  u16le,
  u32be,
  u32le,
  u64le,
} from "../../bytes/index.ts";
import { text, text16, u64be, uuid } from "./fields.ts";
import { superblock } from "./signature.ts";

const at = (offsetBytes: number) => () => [offsetBytes];

const extLayout = layout("ext superblock", 1024, {
  inodes: u32le,
  blocks: u32le,
  reserved8: reserved(16),
  blockSizeLog: u32le,
  reserved28: reserved(4),
  blocksPerGroup: u32le,
  reserved36: reserved(4),
  inodesPerGroup: u32le,
  reserved44: reserved(12),
  magic: u16le,
  reserved58: reserved(34),
  compatible: bits(4, { reserved0: 2, journal: flag, reserved3: 29 }),
  /** `since4` are features that ext3 does not know. */
  incompatible: bits(4, {
    compression: flag,
    fileType: flag,
    recover: flag,
    journalDevice: flag,
    metaGroups: flag,
    since4Low: 2,
    wide: flag,
    since4High: 24,
  }),
  readOnlyCompatible: bits(4, { sparse: flag, large: flag, btree: flag, since4: 29 }),
  uuid,
  label: text(16),
  reserved136: reserved(200),
  blocksHigh: u32le,
  reserved340: reserved(684),
});

/** ext2, ext3 and ext4 are one format; what they use of it tells them apart, as for libblkid. */
export const ext = superblock({
  layout: extLayout,
  places: at(1024),
  read: (found) => {
    const { magic, blockSizeLog, blocksPerGroup, inodesPerGroup, incompatible, label } = found;
    if (magic !== 0xef53 || blockSizeLog > 6) return undefined;
    const names = { label, uuid: found.uuid, version: "1.0" };
    if (incompatible.journalDevice) return { kind: "jbd", ...names };
    if (blocksPerGroup === 0 || inodesPerGroup === 0) return undefined;
    const { compression, since4Low, wide, since4High } = incompatible;
    const isNewer =
      compression || wide || since4Low + since4High + found.readOnlyCompatible.since4 > 0;
    const kind = isNewer ? "ext4" : found.compatible.journal ? "ext3" : "ext2";
    const blocks = found.blocks + (wide ? found.blocksHigh * 2 ** 32 : 0);
    return { kind, ...names, sizeBytes: blocks * 1024 * 2 ** blockSizeLog };
  },
});

const xfsLayout = layout("XFS superblock", 120, {
  magic: ascii(4, "\0"),
  blockSizeBytes: u32be,
  blocks: u64be,
  reserved16: reserved(16),
  uuid,
  reserved48: reserved(36),
  groupBlocks: u32be,
  groups: u32be,
  reserved92: reserved(8),
  version: u16be,
  sectorSizeBytes: u16be,
  reserved104: reserved(4),
  label: text(12),
});

/** XFS. */
export const xfs = superblock({
  layout: xfsLayout,
  places: at(0),
  read: ({ magic, blockSizeBytes, blocks, groups, sectorSizeBytes, label, uuid }) => {
    const isSane = groups > 0 && sectorSizeBytes >= 512 && blockSizeBytes >= 512;
    if (magic !== "XFSB" || !isSane) return undefined;
    return { kind: "xfs", label, uuid, sizeBytes: blocks * BigInt(blockSizeBytes) };
  },
});

const btrfsLayout = layout("btrfs superblock", 555, {
  checksum: bytes(32),
  uuid,
  placeBytes: u64le,
  flags: u64le,
  magic: ascii(8, "\0"),
  reserved72: reserved(40),
  totalBytes: u64le,
  reserved120: reserved(16),
  devices: u64le,
  reserved144: reserved(57),
  deviceId: u64le,
  deviceBytes: u64le,
  reserved217: reserved(50),
  deviceUuid: uuid,
  reserved283: reserved(16),
  label: text(256),
});

/** btrfs; one file system can lie on several disks. */
export const btrfs = superblock({
  layout: btrfsLayout,
  places: at(65536),
  read: ({ magic, placeBytes, label, uuid, deviceUuid, deviceBytes }) => {
    if (magic !== "_BHRfS_M" || placeBytes !== 65536n) return undefined;
    return { kind: "btrfs", label, uuid, memberUuid: deviceUuid, sizeBytes: deviceBytes };
  },
});

const f2fsLayout = layout("F2FS superblock", 1148, {
  magic: u32le,
  major: u16le,
  minor: u16le,
  reserved8: reserved(8),
  blockSizeLog: u32le,
  reserved20: reserved(16),
  blocks: u64le,
  reserved44: reserved(64),
  uuid,
  label: text16(512, "le"),
});

/** F2FS. */
export const f2fs = superblock({
  layout: f2fsLayout,
  places: at(1024),
  read: ({ magic, major, minor, blocks, blockSizeLog, label, uuid }) => {
    if (magic !== 0xf2f5_2010 || blockSizeLog > 16) return undefined;
    const sizeBytes = blocks * BigInt(2 ** blockSizeLog);
    return { kind: "f2fs", version: `${major}.${minor}`, label, uuid, sizeBytes };
  },
});

const bcachefsLayout = layout("bcachefs superblock", 128, {
  checksum: bytes(8),
  /** In a bcache superblock: its own place, in sectors. */
  place: u64le,
  reserved16: reserved(8),
  magic: uuid,
  reserved40: reserved(16),
  uuid,
  label: text(32),
  reserved104: reserved(24),
});

const bcacheLayout = layout("bcache superblock", 72, {
  checksum: bytes(8),
  place: u64le,
  version: u64le,
  magic: uuid,
  uuid,
  setUuid: uuid,
});

const bcacheMagic = "c68573f6-4e1a-45ca-8265-f57f48ba6d81";
const bcachefsMagic = "c68573f6-66ce-90a9-d96a-60cf803df7ef";

/** bcachefs, whose old magic is that of bcache. */
export const bcachefs = superblock({
  layout: bcachefsLayout,
  places: at(4096),
  read: ({ magic, place, label, uuid }) => {
    const isOld = magic === bcacheMagic && place !== 8n;
    return magic === bcachefsMagic || isOld ? { kind: "bcachefs", label, uuid } : undefined;
  },
});

/** A disk behind or under bcache. */
export const bcache = superblock({
  layout: bcacheLayout,
  places: at(4096),
  read: ({ magic, place, uuid }) =>
    magic === bcacheMagic && place === 8n ? { kind: "bcache", uuid } : undefined,
});

const erofsLayout = layout("EROFS superblock", 128, {
  magic: u32le,
  reserved4: reserved(8),
  blockSizeLog: u8,
  reserved13: reserved(23),
  blocks: u32le,
  reserved40: reserved(8),
  uuid,
  label: text(16),
  reserved80: reserved(48),
});

/** EROFS. */
export const erofs = superblock({
  layout: erofsLayout,
  places: at(1024),
  read: ({ magic, blockSizeLog, blocks, label, uuid }) => {
    if (magic !== 0xe0f5_e1e2 || blockSizeLog > 16) return undefined;
    return { kind: "erofs", label, uuid, sizeBytes: blocks * 2 ** blockSizeLog };
  },
});

const squashfsLayout = layout("SquashFS superblock", 48, {
  magic: ascii(4, "\0"),
  reserved4: reserved(24),
  major: u16le,
  minor: u16le,
  reserved32: reserved(8),
  usedBytes: u64le,
});

/** SquashFS 4. */
export const squashfs = superblock({
  layout: squashfsLayout,
  places: at(0),
  read: ({ magic, major, minor, usedBytes }) => {
    if (magic !== "hsqs" || major < 4) return undefined;
    return { kind: "squashfs", version: `${major}.${minor}`, sizeBytes: usedBytes };
  },
});
