/**
 * Reads and writes without anything special about them, decoded by hand: the layouts of nvme cost
 * microseconds each, and this is the data path. `decodeCommand` is the oracle of its test.
 */

/** A read or write; counts are counts, blocks are numbers. */
export interface PlainIo {
  opc: number;
  nsid: number;
  slba: number;
  nlb: number;
  isFua: boolean;
  isInCapsule: boolean;
  /** Length that the SGL describes. */
  sglBytes: number;
}

/** What `decodePlainIo` is given to fill. */
export function emptyPlainIo(): PlainIo {
  return { opc: 0, nsid: 0, slba: 0, nlb: 0, isFua: false, isInCapsule: false, sglBytes: 0 };
}

const readOpcode = 0x02;
const writeOpcode = 0x01;
/** PSDT 01b, not fused. */
const plainFlags = 0x40;
const fuaBit = 0x40;
/** FUA and LR of the second byte of the control word; the rest asks for something special. */
const plainControlMax = 0xc0;
const idTransport = 0x5a;
const idCapsule = 0x01;
const half = 2 ** 32;

/** Reads the 64 bytes at `at` into `out`; false when they are anything but a plain read or write. */
export function decodePlainIo(bytes: Uint8Array, at: number, out: PlainIo): boolean {
  const opc = bytes[at]!;
  if ((opc !== readOpcode && opc !== writeOpcode) || bytes[at + 1] !== plainFlags) return false;
  const control = bytes[at + 51]!;
  if (bytes[at + 50] !== 0 || (control & ~plainControlMax) !== 0) return false;
  const id = bytes[at + 39];
  if (id !== idTransport) {
    if (id !== idCapsule || u32(bytes, at + 24) !== 0 || u32(bytes, at + 28) !== 0) return false;
  }
  out.opc = opc;
  out.nsid = u32(bytes, at + 4);
  out.slba = u32(bytes, at + 40) + u32(bytes, at + 44) * half;
  out.nlb = bytes[at + 48]! + bytes[at + 49]! * 256 + 1;
  out.isFua = (control & fuaBit) !== 0;
  out.isInCapsule = id === idCapsule;
  out.sglBytes = u32(bytes, at + 32);
  return true;
}

function u32(bytes: Uint8Array, at: number): number {
  return (
    bytes[at]! + bytes[at + 1]! * 0x100 + bytes[at + 2]! * 0x10000 + bytes[at + 3]! * 0x1000000
  );
}
