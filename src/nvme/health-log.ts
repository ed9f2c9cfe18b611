/**
 * The log pages on a controller's well-being: errors, SMART, firmware.
 * NVMe Base 2.0 §5.16.1.2 to §5.16.1.4.
 */

import {
  ascii,
  bits,
  flag,
  type LayoutValue,
  layout,
  repeat,
  reserved,
  u8,
  u16le,
  u32le,
  u64le,
} from "../bytes/index.ts";
import { u128le } from "./zero-based.ts";

/**
 * Error Information Log Entry (page 01h), figure 206. `errorCount` counts from 1 and is 0 in an
 * entry that is not used; `status` is the status field as the completion had it.
 */
export const errorLogEntry = layout("Error Information Log Entry", 64, {
  errorCount: u64le,
  sqid: u16le,
  cid: u16le,
  status: u16le,
  parameterError: bits(2, { byte: 8, bit: 3, reserved11: 5 }),
  lba: u64le,
  nsid: u32le,
  vs: u8,
  trtype: u8,
  csi: u8,
  opc: u8,
  csinfo: u64le,
  ttsi: u16le,
  reserved42: reserved(22),
});

/** One entry of the Error Information log. */
export type ErrorLogEntry = LayoutValue<typeof errorLogEntry>;

/** Queue and command identifier of an error that belongs to no queue or command. */
export const noQueueOrCommand = 0xffff;
/** Parameter Error Location of an error that has none. */
export const noParameter: ErrorLogEntry["parameterError"] = { byte: 255, bit: 7 };

/**
 * SMART / Health Information (page 02h), figure 207. `temperature` is in kelvin; data units are
 * 1000 × 512 bytes, rounded up; `controllerBusyTime` counts minutes, `powerOnHours` hours.
 */
export const smartLog = layout("SMART / Health Information", 512, {
  criticalWarning: bits(1, {
    spare: flag,
    temperature: flag,
    reliability: flag,
    readOnly: flag,
    volatileBackup: flag,
    persistentMemory: flag,
    reserved6: 2,
  }),
  temperature: u16le,
  availableSpare: u8,
  availableSpareThreshold: u8,
  percentageUsed: u8,
  enduranceGroupWarning: u8,
  reserved7: reserved(25),
  dataUnitsRead: u128le,
  dataUnitsWritten: u128le,
  hostReads: u128le,
  hostWrites: u128le,
  controllerBusyTime: u128le,
  powerCycles: u128le,
  powerOnHours: u128le,
  unsafeShutdowns: u128le,
  mediaErrors: u128le,
  errorLogEntries: u128le,
  warningTemperatureTime: u32le,
  criticalTemperatureTime: u32le,
  temperatureSensors: repeat(u16le, 8),
  tmt1Count: u32le,
  tmt2Count: u32le,
  tmt1Time: u32le,
  tmt2Time: u32le,
  reserved232: reserved(280),
});

/** SMART / Health Information as a value. */
export type SmartLog = LayoutValue<typeof smartLog>;

/** Bytes that one data unit of the SMART log stands for. */
export const dataUnitBytes = 512_000;

/** Firmware Slot Information (page 03h), figure 208; slots without a revision are empty. */
export const firmwareSlotLog = layout("Firmware Slot Information", 512, {
  afi: bits(1, { active: 3, reserved3: 1, next: 3, reserved7: 1 }),
  reserved1: reserved(7),
  frs: repeat(ascii(8, "\0"), 7),
  reserved64: reserved(448),
});

/** Namespace ids in the changed-namespaces log (page 04h) when there were more than 1024. */
export const changedNamespacesOverflow = 0xffffffff;
