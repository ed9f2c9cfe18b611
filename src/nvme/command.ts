/**
 * Commands as typed values, and the 64 bytes that they are on the wire.
 * NVMe Base 2.0 §3.3.3.1 (submission queue entry) and §6 (fabrics commands).
 */

import {
  bits,
  bytes,
  type LayoutValue,
  layout,
  u8,
  u16le,
  u32le,
  u64le,
  viewOf,
} from "../bytes/index.ts";
import * as fields from "./command-fields.ts";
import * as reservation from "./reservation.ts";
import { type Placement, placementOf, sglDescriptor, sglOf } from "./sgl.ts";
import type { StatusName } from "./status.ts";

/** Submission Queue Entry; fabrics commands have their type (FCTYPE) where `nsid` is. */
export const sqe = layout("Submission Queue Entry", 64, {
  opc: u8,
  flags: bits(1, { fuse: 2, reserved2: 4, psdt: 2 }),
  cid: u16le,
  nsid: u32le,
  cdw2: u32le,
  cdw3: u32le,
  mptr: u64le,
  sgl1: sglDescriptor,
  dwords: bytes(24),
});

type Entry = LayoutValue<typeof sqe>;

/** Opcode of every fabrics command. */
export const fabricsOpcode = 0x7f;
/** The namespace id that means all namespaces. */
export const broadcastNsid = 0xffffffff;

/** Which way a command's data goes, seen from the host. */
export type Direction = "none" | "out" | "in";

/** Which queues take a command; `fabrics` commands go to both kinds. */
export type CommandSet = "admin" | "io" | "fabrics";

/** Every command that this part speaks: opcode (or FCTYPE), set, data direction, dwords. */
export const commands = {
  getLogPage: define("admin", 0x02, "in", fields.getLogPageFields),
  identify: define("admin", 0x06, "in", fields.identifyFields),
  abort: define("admin", 0x08, "none", fields.abortFields),
  setFeatures: define("admin", 0x09, "out", fields.setFeaturesFields),
  getFeatures: define("admin", 0x0a, "in", fields.getFeaturesFields),
  asyncEventRequest: define("admin", 0x0c, "none", fields.noFields),
  keepAlive: define("admin", 0x18, "none", fields.noFields),
  flush: define("io", 0x00, "none", fields.noFields),
  write: define("io", 0x01, "out", fields.writeFields),
  read: define("io", 0x02, "in", fields.readFields),
  compare: define("io", 0x05, "out", fields.readFields),
  writeZeroes: define("io", 0x08, "none", fields.writeZeroesFields),
  datasetManagement: define("io", 0x09, "out", fields.datasetManagementFields),
  verify: define("io", 0x0c, "none", fields.readFields),
  reservationRegister: define("io", 0x0d, "out", reservation.reservationRegisterFields),
  reservationReport: define("io", 0x0e, "in", reservation.reservationReportFields),
  reservationAcquire: define("io", 0x11, "out", reservation.reservationAcquireFields),
  reservationRelease: define("io", 0x15, "out", reservation.reservationReleaseFields),
  propertySet: define("fabrics", 0x00, "none", fields.propertySetFields),
  connect: define("fabrics", 0x01, "out", fields.connectFields),
  propertyGet: define("fabrics", 0x04, "none", fields.propertyGetFields),
  authenticationSend: define("fabrics", 0x05, "out", fields.authenticationFields),
  authenticationReceive: define("fabrics", 0x06, "in", fields.authenticationFields),
  disconnect: define("fabrics", 0x08, "none", fields.disconnectFields),
} as const;

/** Name of a command, in `commands`. */
export type CommandName = keyof typeof commands;

/** One command by name: its namespace (0 where it has none) and its dwords. */
export type CommandOf<N extends CommandName> = {
  readonly name: N;
  readonly nsid: number;
} & LayoutValue<(typeof commands)[N]["fields"]>;

/** Any command. */
export type Command = { [N in CommandName]: CommandOf<N> }[CommandName];

/**
 * A command from the fields that matter; the others are zero, counts one.
 * A namespace is 0 unless given.
 */
export function command<N extends CommandName>(
  name: N,
  given: Partial<Omit<CommandOf<N>, "name">> = {},
): CommandOf<N> {
  const zeros = commands[name].fields.decode(new Uint8Array(24));
  return { name, nsid: 0, ...zeros, ...given } as CommandOf<N>;
}

/** Fields that commands have before their dwords; `sglLength` is that of the data. */
const entryOffsets = {
  opc: sqe.offsets.opc!,
  flags: sqe.offsets.flags!,
  nsid: sqe.offsets.nsid!,
  /** FCTYPE, of fabrics commands. */
  fctype: sqe.offsets.nsid!,
  sgl: sqe.offsets.sgl1!,
  sglLength: sqe.offsets.sgl1! + sglDescriptor.offsets.length!,
} as const;

/** A field of a command that has an offset: one of all commands, or one of its own dwords. */
export type FieldOf<N extends CommandName> =
  | keyof typeof entryOffsets
  | (keyof LayoutValue<(typeof commands)[N]["fields"]> & string);

/** Byte in the 64 of a command at which a field begins, as the tables have it. */
export function offsetOf<N extends CommandName>(name: N, field: FieldOf<N>): number {
  if (Object.hasOwn(entryOffsets, field)) return entryOffsets[field as keyof typeof entryOffsets];
  return sqe.offsets.dwords! + commands[name].fields.offsets[field]!;
}

/** How the data of a command is described in it. */
export interface DataPointer {
  readonly placement: Placement;
  readonly lengthBytes: number;
}

/** The pointer of a command without data, as Linux sends it too. */
export const noData: DataPointer = { placement: "transport", lengthBytes: 0 };

/** PSDT of every command over fabrics: SGLs, metadata pointer unused. */
const psdtSgl = 1;
/** Byte 1 of an unfused command, and the last byte of each SGL, as the layouts make them. */
const flagsSgl = 0x40;
const idCapsule = 0x01;
const idTransport = 0x5a;

/** Fused Operation (FUSE), figure 87: alone, or one of a pair that is carried out as one. */
export const fuse = { none: 0, first: 1, second: 2 } as const;

/** Writes a command's 64 bytes. */
export function encodeCommand(
  value: Command,
  cid: number,
  data: DataPointer = noData,
  fused: number = fuse.none,
): Uint8Array {
  if (fused === fuse.none && (value.name === "read" || value.name === "write")) {
    return encodeReadWrite(value, cid, data);
  }
  return encodeByLayout(value, cid, data, fused);
}

/** The same for any command, by the layouts alone; slower, and the oracle of the other. */
export function encodeByLayout(
  value: Command,
  cid: number,
  data: DataPointer,
  fused: number = fuse.none,
): Uint8Array {
  const { set, opc, fields: format } = commands[value.name];
  const isFabrics = set === "fabrics";
  return sqe.encode({
    opc: isFabrics ? fabricsOpcode : opc,
    flags: { fuse: fused, psdt: psdtSgl },
    cid,
    nsid: isFabrics ? opc : value.nsid,
    cdw2: 0,
    cdw3: 0,
    mptr: 0n,
    sgl1: sglOf(data.placement, data.lengthBytes),
    dwords: (format as { encode(value: unknown): Uint8Array }).encode(value),
  });
}

/** A command as it came, or why it is none, as the status that answers it. */
export type DecodedCommand =
  | {
      readonly ok: true;
      readonly cid: number;
      readonly command: Command;
      readonly data: DataPointer;
      /** One of `fuse`. */
      readonly fuse: number;
    }
  | { readonly ok: false; readonly cid: number; readonly opc: number; readonly status: StatusName };

/**
 * Reads 64 bytes that came to an admin or an I/O queue.
 * Commands that say nothing of data are taken whatever their PSDT.
 * An unknown opcode or FCTYPE gives `invalidOpcode`, a PSDT other than 01b or a FUSE of 11b
 * `invalidField`, an SGL that TCP does not know `sglInvalidType`, in-capsule data that does not
 * start behind the command `sglInvalidOffset` (NVMe-oF and TCP Transport 1.0 §3.4, ICDOFF 0).
 */
export function decodeCommand(raw: Uint8Array, queue: "admin" | "io"): DecodedCommand {
  const plain = queue === "io" ? decodePlainReadWrite(raw) : undefined;
  return plain ?? decodeByLayout(raw, queue);
}

/** The same by the layouts alone; slower, and the oracle of the other. */
export function decodeByLayout(raw: Uint8Array, queue: "admin" | "io"): DecodedCommand {
  const entry = sqe.decode(raw);
  const { opc, cid, sgl1 } = entry;
  const isFabrics = opc === fabricsOpcode;
  const known = isFabrics ? byFabricsType.get(raw[4]!) : byOpcode[queue].get(opc);
  const refuse = (status: StatusName): DecodedCommand => ({ ok: false, cid, opc, status });
  if (known === undefined) return refuse("invalidOpcode");
  const dwords = commands[known].fields.decode(entry.dwords);
  const taken = {
    ok: true,
    cid,
    command: { name: known, nsid: isFabrics ? 0 : entry.nsid, ...dwords } as Command,
    fuse: entry.flags.fuse,
  } as const;
  if (isWithoutPointer(entry, commands[known].data)) return { ...taken, data: noData };
  if (entry.flags.psdt !== psdtSgl || entry.flags.fuse > fuse.second) return refuse("invalidField");
  const placement = placementOf(sgl1);
  if (placement === undefined) return refuse("sglInvalidType");
  if (placement === "capsule" && sgl1.address !== 0n) return refuse("sglInvalidOffset");
  return { ...taken, data: { placement, lengthBytes: sgl1.length } };
}

/**
 * Whether a command says nothing of data: hosts differ in what they leave there. Base 2.2 §6.4 to
 * §6.6 have byte 1 (PSDT) cleared in fabrics commands without data, Linux sets it in all commands.
 */
function isWithoutPointer({ flags, sgl1 }: Entry, direction: Direction): boolean {
  if (flags.fuse !== fuse.none) return false;
  const isZero = sgl1.address === 0n && sgl1.length === 0 && sgl1.id.type + sgl1.id.subtype === 0;
  return isZero ? flags.psdt <= psdtSgl : direction === "none" && flags.psdt === 0;
}

/** Offsets in the entry that the data path reads by hand, from the tables. */
const at = {
  psdt: sqe.offsets.flags!,
  cid: sqe.offsets.cid!,
  nsid: sqe.offsets.nsid!,
  address: sqe.offsets.sgl1!,
  length: sqe.offsets.sgl1! + sglDescriptor.offsets.length!,
  sglId: sqe.offsets.sgl1! + sglDescriptor.offsets.id!,
  slba: sqe.offsets.dwords! + fields.readFields.offsets.slba!,
  nlb: sqe.offsets.dwords! + fields.readFields.offsets.nlb!,
  control: sqe.offsets.dwords! + fields.readFields.offsets.control!,
} as const;

/**
 * Read and Write by hand, as hosts send them nearly always: unfused, one of the two SGLs, nothing
 * set beside FUA and LR. `undefined` for anything else, which the layouts then judge.
 */
function decodePlainReadWrite(raw: Uint8Array): DecodedCommand | undefined {
  const opc = raw[0]!;
  const isWrite = opc === commands.write.opc;
  if (!isWrite && opc !== commands.read.opc) return undefined;
  const id = raw[at.sglId]!;
  if (raw[at.psdt] !== flagsSgl || (id !== idTransport && id !== idCapsule)) return undefined;
  const bits = raw[at.control + 1]!;
  if (raw[at.control] !== 0 || bits % fuaBit !== 0) return undefined;
  const view = viewOf(raw);
  if (view.getUint32(at.control + 2, true) !== 0) return undefined;
  if (view.getUint32(at.control + 6, true) !== 0 || view.getUint32(at.control + 10, true) !== 0) {
    return undefined;
  }
  if (id === idCapsule && view.getBigUint64(at.address, true) !== 0n) return undefined;
  const shared = {
    nsid: view.getUint32(at.nsid, true),
    slba: view.getBigUint64(at.slba, true),
    nlb: view.getUint16(at.nlb, true) + 1,
    control: controls[bits / fuaBit]!,
    dsm: 0,
  };
  const command: Command = isWrite
    ? { name: "write", ...shared, dspec: 0, ilbrt: 0, lbat: 0, lbatm: 0 }
    : { name: "read", ...shared, eilbrt: 0, elbat: 0, elbatm: 0 };
  const lengthBytes = view.getUint32(at.length, true);
  return {
    ok: true,
    cid: view.getUint16(at.cid, true),
    command,
    data: { placement: id === idCapsule ? "capsule" : "transport", lengthBytes },
    fuse: fuse.none,
  };
}

/** FUA and LR are the two highest bits of their byte: its value divided by this is both. */
const fuaBit = 0x40;
const controls = [false, true].flatMap((lr) =>
  [false, true].map((fua) =>
    Object.freeze({ cetype: 0, dtype: 0, stc: false, prinfo: 0, fua, lr }),
  ),
);

/** Read and Write by hand: they are the data path, and bit tables cost microseconds each. */
function encodeReadWrite(
  value: CommandOf<"read"> | CommandOf<"write">,
  cid: number,
  data: DataPointer,
): Uint8Array {
  const raw = Buffer.allocUnsafe(sqe.size).fill(0);
  raw[0] = commands[value.name].opc;
  raw[1] = flagsSgl;
  raw.writeUInt16LE(cid, 2);
  raw.writeUInt32LE(value.nsid, 4);
  raw.writeUInt32LE(data.lengthBytes, 32);
  raw[39] = data.placement === "capsule" ? idCapsule : idTransport;
  raw.writeBigUInt64LE(value.slba, 40);
  raw.writeUInt16LE(value.nlb - 1, 48);
  const { cetype, dtype, stc, prinfo, fua, lr } = value.control;
  raw[50] = cetype + dtype * 0x10;
  raw[51] = (stc ? 1 : 0) + prinfo * 4 + (fua ? 0x40 : 0) + (lr ? 0x80 : 0);
  raw[52] = value.dsm;
  const isWrite = value.name === "write";
  if (isWrite) raw.writeUInt16LE(value.dspec, 54);
  raw.writeUInt32LE(isWrite ? value.ilbrt : value.eilbrt, 56);
  raw.writeUInt16LE(isWrite ? value.lbat : value.elbat, 60);
  raw.writeUInt16LE(isWrite ? value.lbatm : value.elbatm, 62);
  return raw;
}

function define<F>(set: CommandSet, opc: number, data: Direction, format: F) {
  return { set, opc, data, fields: format };
}

const byOpcode = { admin: opcodesOf("admin"), io: opcodesOf("io") };
const byFabricsType = opcodesOf("fabrics");

function opcodesOf(set: CommandSet): ReadonlyMap<number, CommandName> {
  const all = Object.keys(commands) as CommandName[];
  return new Map(
    all.filter((name) => commands[name].set === set).map((name) => [commands[name].opc, name]),
  );
}
