/**
 * The six command dwords (CDW10 to CDW15) of each command, as tables.
 * NVMe Base 2.0 §5 (admin) and §6 (fabrics), NVM Command Set 1.0 §3 (I/O). Counts that are 0's
 * based on the wire (NLB, NUMD, NR, SQSIZE) are counts here.
 */

import { bits, flag, layout, reserved, u8, u16le, u32le, u64le } from "../bytes/index.ts";
import { count8, count16, count32 } from "./zero-based.ts";

const uuidIndex = bits(1, { uidx: 7, reserved7: 1 });
/** Upper half of CDW12 of commands that read or write, NVM Command Set 1.0 figures 44 and 64. */
const control = bits(2, {
  cetype: 4,
  dtype: 4,
  stc: flag,
  reserved9: 1,
  prinfo: 4,
  fua: flag,
  lr: flag,
});

/** Identify, Base 2.0 §5.17. */
export const identifyFields = layout("Identify", 24, {
  cns: u8,
  reserved41: reserved(1),
  cntid: u16le,
  cnssid: u16le,
  reserved46: reserved(1),
  csi: u8,
  reserved48: reserved(8),
  uuid: uuidIndex,
  reserved57: reserved(7),
});

/** Get Log Page, Base 2.0 §5.16; `numd` counts dwords, `lpo` is a byte offset. */
export const getLogPageFields = layout("Get Log Page", 24, {
  lid: u8,
  specific: bits(1, { lsp: 7, rae: flag }),
  numd: count32,
  lsi: u16le,
  lpo: u64le,
  uuid: uuidIndex,
  reserved57: reserved(1),
  offset: bits(1, { reserved0: 7, ot: flag }),
  csi: u8,
  reserved60: reserved(4),
});

/** Abort, Base 2.0 §5.1: which command of which queue. */
export const abortFields = layout("Abort", 24, {
  sqid: u16le,
  abortCid: u16le,
  reserved44: reserved(20),
});

/** Set Features, Base 2.0 §5.27; `cdw11` to `cdw15` are as the feature says. */
export const setFeaturesFields = layout("Set Features", 24, {
  fid: u8,
  reserved41: reserved(2),
  save: bits(1, { reserved0: 7, sv: flag }),
  cdw11: u32le,
  cdw12: u32le,
  cdw13: u32le,
  uuid: uuidIndex,
  reserved57: reserved(3),
  cdw15: u32le,
});

/** Get Features, Base 2.0 §5.15; `sel` 0 asks for the current value. */
export const getFeaturesFields = layout("Get Features", 24, {
  fid: u8,
  select: bits(1, { sel: 3, reserved3: 5 }),
  reserved42: reserved(2),
  cdw11: u32le,
  reserved48: reserved(8),
  uuid: uuidIndex,
  reserved57: reserved(7),
});

/** Commands without dwords of their own: Async Event Request, Keep Alive, Flush. */
export const noFields = layout("no fields", 24, { reserved40: reserved(24) });

/** Read and Compare, NVM Command Set 1.0 §3.2.4 and §3.2.1; `slba` and `nlb` count blocks. */
export const readFields = layout("Read", 24, {
  slba: u64le,
  nlb: count16,
  control,
  dsm: u8,
  reserved53: reserved(3),
  eilbrt: u32le,
  elbat: u16le,
  elbatm: u16le,
});

/** Write, NVM Command Set 1.0 §3.2.6. */
export const writeFields = layout("Write", 24, {
  slba: u64le,
  nlb: count16,
  control,
  dsm: u8,
  reserved53: reserved(1),
  dspec: u16le,
  ilbrt: u32le,
  lbat: u16le,
  lbatm: u16le,
});

/** Write Zeroes, NVM Command Set 1.0 §3.2.8: DEAC asks to deallocate, NSZ for all blocks. */
export const writeZeroesFields = layout("Write Zeroes", 24, {
  slba: u64le,
  nlb: count16,
  control: bits(2, {
    cetype: 4,
    reserved4: 3,
    nsz: flag,
    stc: flag,
    deac: flag,
    prinfo: 4,
    fua: flag,
    lr: flag,
  }),
  reserved52: reserved(4),
  ilbrt: u32le,
  lbat: u16le,
  lbatm: u16le,
});

/** Dataset Management, NVM Command Set 1.0 §3.2.3; `nr` ranges follow as data. */
export const datasetManagementFields = layout("Dataset Management", 24, {
  nr: count8,
  reserved41: reserved(3),
  attributes: bits(4, { idr: flag, idw: flag, ad: flag, reserved3: 29 }),
  reserved48: reserved(16),
});

/** One range of Dataset Management, figure 41; `nlb` is not 0's based. */
export const datasetRange = layout("Dataset Management Range", 16, {
  cattr: u32le,
  nlb: u32le,
  slba: u64le,
});

/** Connect, Base 2.0 §6.3; `sqsize` counts entries, `kato` milliseconds. */
export const connectFields = layout("Connect", 24, {
  recfmt: u16le,
  qid: u16le,
  sqsize: count16,
  cattr: bits(1, { priority: 2, dissqflow: flag, indivio: flag, reserved4: 4 }),
  reserved47: reserved(1),
  kato: u32le,
  reserved52: reserved(12),
});

/** How wide a property is: `size` 0 is 4 bytes, 1 is 8. */
const attrib = bits(1, { size: 3, reserved3: 5 });

/** Property Set, Base 2.0 §6.6. */
export const propertySetFields = layout("Property Set", 24, {
  attrib,
  reserved41: reserved(3),
  ofst: u32le,
  value: u64le,
  reserved56: reserved(8),
});

/** Property Get, Base 2.0 §6.5; the value is in DW0 and DW1 of the completion. */
export const propertyGetFields = layout("Property Get", 24, {
  attrib,
  reserved41: reserved(3),
  ofst: u32le,
  reserved48: reserved(16),
});

/** Disconnect, Base 2.0 §6.4. */
export const disconnectFields = layout("Disconnect", 24, {
  recfmt: u16le,
  reserved42: reserved(22),
});

/** Authentication Send and Receive, Base 2.0 §6.2 and §6.1; `length` is TL or AL in bytes. */
export const authenticationFields = layout("Authentication", 24, {
  reserved40: reserved(1),
  spsp0: u8,
  spsp1: u8,
  secp: u8,
  length: u32le,
  reserved48: reserved(16),
});
