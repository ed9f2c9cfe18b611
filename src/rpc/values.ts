/** What parameters and results are made of. */

import * as v from "valibot";
import { hashItemUnitsMax } from "./limits.ts";

/** How the box lets hosts come: see SECURITY.md. */
const accessMode = v.picklist(["paired", "open", "local"]);
/** @see accessMode */
export type AccessMode = v.InferOutput<typeof accessMode>;

/**
 * What a grant lets its host do: `rw` reads and writes; `ro` reads, and the box opens the disk for
 * reading only; `overlay` reads and writes, but what is written stays in the box's memory and is
 * gone with the grant.
 */
export const grantMode = v.picklist(["rw", "ro", "overlay"]);
/** @see grantMode */
export type GrantMode = v.InferOutput<typeof grantMode>;

/** A whole number from 0 on that a double holds exactly: bytes, counts. */
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** ISO 8601 in UTC. */
const time = v.pipe(v.string(), v.isoTimestamp());
/** One line of printable characters. */
export const words = (lengthMax: number) =>
  v.pipe(
    v.string(),
    v.maxLength(lengthMax),
    v.regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, "Wanted: one line of printable characters"),
  );
/** What a caller names a disk by: kernel name, serial number, NQN, or identity. */
export const diskName = v.pipe(words(256), v.minLength(1));
/** NVMe Base 2.1, 4.7. */
export const hostnqn = v.pipe(
  v.string(),
  v.maxLength(223),
  v.regex(/^nqn\.\d{4}-\d{2}\.[!-.0-~]+$/, "Wanted: a host NQN, nqn.YYYY-MM.REVERSED.DOMAIN:NAME"),
);
/** Chosen by the caller; no two streams of a session have the same. */
export const streamId = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** An address of the box. */
const address = v.object({
  address: v.string(),
  family: v.picklist(["IPv4", "IPv6"]),
  /** The box's interface; a caller appends its own to a link-local IPv6 address. */
  interface: v.string(),
  linkLocal: v.boolean(),
  /** Of the card, by which it is woken; boxes of earlier versions do not say. */
  mac: v.optional(v.string()),
});

/** What `describe` gives. */
export const boxDescription = v.object({
  /** Version of the contract, see `rpcVersion`. */
  rpc: count,
  /** Two words: `lunch-feta`; the host name too. */
  name: v.string(),
  /** Three words, for a network where two boxes have the same two. */
  fullName: v.string(),
  /** Eight hex digits in the NQNs of its disks. */
  box: v.string(),
  /** Of the image. */
  version: v.string(),
  access: accessMode,
  /** The box opens no disk for writing, whatever is granted. */
  readOnly: v.boolean(),
  addresses: v.array(address),
  ports: v.object({ nvme: count, discovery: count, readOnly: count }),
  /** Whether NVMe connections may be encrypted. */
  tls: v.boolean(),
  bootMedium: v.string(),
  /** What is wrong, one sentence each. */
  problems: v.array(v.string()),
  startedAt: time,
  bootedAt: time,
  /** The clock of the box, to compare times with. */
  now: time,
});
/** @see boxDescription */
export type BoxDescription = v.InferOutput<typeof boxDescription>;

/** Where an exported disk is. */
const exported = v.object({
  kind: v.literal("exported"),
  nqn: v.string(),
  /** Of the namespace, whose NSID is 1; a Linux host has `/dev/disk/by-id/nvme-uuid.UUID`. */
  uuid: v.string(),
  /** ISO 8601. */
  since: time,
  /** From the kernel's announcement to the export; null when an earlier daemon exported it. */
  tookMs: v.nullable(v.number()),
});

const diskState = v.variant("kind", [
  exported,
  v.object({
    kind: v.literal("not exported"),
    reason: v.object({ code: v.string(), text: v.string() }),
  }),
  v.object({ kind: v.literal("failing"), error: v.string() }),
]);

const partition = v.object({
  number: count,
  startBytes: count,
  sizeBytes: count,
  typeName: v.string(),
  name: v.string(),
  /** `ext4 "root"`. */
  contents: v.string(),
  /** Label of the file system; empty where there is none. */
  label: v.string(),
  partUuid: v.string(),
});

/** What lies on a disk. */
const contents = v.object({
  /** One line as people recognise it: `GPT: ESP, ext4 "root"`, `blank`. Safe for a terminal. */
  line: v.string(),
  isBlank: v.boolean(),
  partitions: v.array(partition),
});

/** A grant as the box lists it; never a key. */
export const grantView = v.object({
  grant: v.string(),
  hostnqn: v.string(),
  /** Kernel names of its disks. */
  disks: v.array(v.string()),
  mode: grantMode,
  /** Others may write to its disks, too; boxes of earlier versions do not say. */
  shared: v.optional(v.boolean()),
  purpose: v.string(),
  since: time,
  /** Null for one that lasts until it is revoked or the box ends. */
  expiresAt: v.nullable(time),
  /** Of an overlay: what the host has written, and how much may be written in all. */
  overlay: v.nullable(v.object({ usedBytes: count, maxBytes: count })),
});
/** @see grantView */
export type GrantView = v.InferOutput<typeof grantView>;

/** A disk of the box. */
export const diskView = v.object({
  /** Kernel name, which may mean another disk at the next boot. */
  name: v.string(),
  model: v.string(),
  serial: v.string(),
  firmware: v.string(),
  /** `nvme`, `ata`, `scsi`, `usb`, `virtio`, `mmc`, or the kernel's name of the driver. */
  transport: v.string(),
  sizeBytes: count,
  blockSizeBytes: count,
  /** What it is recognised by at the next boot and in another slot. */
  identity: v.object({
    kind: v.picklist(["wwid", "serial", "path"]),
    value: v.string(),
    weak: v.boolean(),
  }),
  /** Where it is plugged in. */
  path: v.string(),
  /** The disk itself, or the box, lets nobody write to it. */
  readOnly: v.boolean(),
  state: diskState,
  /** Null unless asked for, or where it cannot be read. */
  contents: v.nullable(contents),
  /** Bytes that have been read and written since the box booted, and calls under way. */
  traffic: v.nullable(
    v.object({ readBytes: count, writtenBytes: count, inFlight: count, at: time }),
  ),
  /** What the disk says of itself (SMART); null where it says nothing. */
  health: v.nullable(
    v.object({
      failing: v.boolean(),
      temperatureCelsius: v.nullable(v.number()),
      powerOnHours: v.nullable(v.number()),
      /** Of the endurance that the maker promises; may go beyond 100. */
      usedPercent: v.nullable(v.number()),
      mediaErrors: v.nullable(v.number()),
    }),
  ),
});
/** @see diskView */
export type DiskView = v.InferOutput<typeof diskView>;

/** A host that is connected to the box's NVMe ports now, as far as the kernel tells. */
export const peerView = v.object({
  address: v.string(),
  /** TCP port of the box. */
  port: count,
  connections: count,
});
/** @see peerView */
export type PeerView = v.InferOutput<typeof peerView>;

/** One disk of a grant: where to connect to. */
const grantedDisk = v.object({
  name: v.string(),
  serial: v.string(),
  nqn: v.string(),
  nsid: count,
  uuid: v.string(),
  /** TCP port. */
  port: count,
  sizeBytes: count,
  blockSizeBytes: count,
  readOnly: v.boolean(),
  /** Identity of the TLS key for this host and subsystem; null where there is no TLS. */
  tlsIdentity: v.nullable(v.string()),
});

/** What `grant` gives. Whoever has it can use the disks: it belongs in no log. */
export const grantedAccess = v.object({
  grant: v.string(),
  hostnqn: v.string(),
  mode: grantMode,
  expiresAt: v.nullable(time),
  /**
   * DH-HMAC-CHAP, `DHHC-1:01:…:`; the host's secret and the controller's. SHA-256, ffdhe2048.
   * They are asked for with TLS too.
   */
  secrets: v.object({ host: v.string(), controller: v.string() }),
  /** The configured PSK, `NVMeTLSkey-1:01:…:`, from which each disk's key is derived. */
  tlsPsk: v.nullable(v.string()),
  addresses: v.array(address),
  disks: v.array(grantedDisk),
});
/** @see grantedAccess */
export type GrantedAccess = v.InferOutput<typeof grantedAccess>;

/** Something that happened on the box. */
export const boxEvent = v.object({
  /** Counts up from 1. */
  number: count,
  at: time,
  /** `exported`, `granted`, `revoked`, `expired`, `state`, ... */
  event: v.string(),
  fields: v.record(v.string(), v.nullable(v.union([v.string(), v.number()]))),
});
/** @see boxEvent */
export type BoxEvent = v.InferOutput<typeof boxEvent>;

/** A part of a disk. */
export const byteRange = v.strictObject({ offsetBytes: count, lengthBytes: count });

/** Of one unit, in `hash`. */
const digestBytes = 32;
const digestTextMax = Math.ceil((hashItemUnitsMax * digestBytes) / 3) * 4;
/**
 * Digests of units that follow each other, in base64: `digestBytes` of each, its whole SHA-256, or
 * zeros for a unit that holds nothing but zeros.
 */
export const unitDigests = v.object({
  offsetBytes: count,
  digests: v.pipe(v.string(), v.base64(), v.maxLength(digestTextMax)),
});
/** @see unitDigests */
export type UnitDigests = v.InferOutput<typeof unitDigests>;
