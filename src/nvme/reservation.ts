/**
 * Reservations: which host may write to a namespace.
 * NVMe Base 2.0 §7.2 to §7.6 (commands), §8.19 (how they work), §5.16.1.25 (notification log).
 */

import {
  bits,
  bytes,
  flag,
  type LayoutValue,
  layout,
  reserved,
  u8,
  u16le,
  u32le,
  u64le,
} from "../bytes/index.ts";
import { count32 } from "./zero-based.ts";

/** Reservation Register Action (RREGA), figure 400. */
export const registerAction = { register: 0, unregister: 1, replace: 2 } as const;
/** Reservation Acquire Action (RACQA), figure 395. */
export const acquireAction = { acquire: 0, preempt: 1, preemptAndAbort: 2 } as const;
/** Reservation Release Action (RRELA), figure 403. */
export const releaseAction = { release: 0, clear: 1 } as const;
/** Change Persist Through Power Loss state (CPTPL), figure 400. */
export const persistChange = { none: 0, clear: 2, set: 3 } as const;

/** Reservation Type, figure 398; 0 where there is none. */
export const reservationType = {
  none: 0,
  writeExclusive: 1,
  exclusiveAccess: 2,
  writeExclusiveRegistrantsOnly: 3,
  exclusiveAccessRegistrantsOnly: 4,
  writeExclusiveAllRegistrants: 5,
  exclusiveAccessAllRegistrants: 6,
} as const;

/** Reservation Register, §7.3. */
export const reservationRegisterFields = layout("Reservation Register", 24, {
  action: bits(4, { rrega: 3, iekey: flag, reserved4: 26, cptpl: 2 }),
  reserved44: reserved(20),
});

/** Reservation Report, §7.5; `numd` counts dwords. */
export const reservationReportFields = layout("Reservation Report", 24, {
  numd: count32,
  structure: bits(4, { eds: flag, reserved1: 31 }),
  reserved48: reserved(16),
});

/** Reservation Acquire, §7.2. */
export const reservationAcquireFields = layout("Reservation Acquire", 24, {
  action: bits(1, { racqa: 3, iekey: flag, reserved4: 4 }),
  rtype: u8,
  reserved42: reserved(22),
});

/** Reservation Release, §7.4. */
export const reservationReleaseFields = layout("Reservation Release", 24, {
  action: bits(1, { rrela: 3, iekey: flag, reserved4: 4 }),
  rtype: u8,
  reserved42: reserved(22),
});

/** Data of Reservation Register, figure 401: current and new key. */
export const reservationRegisterData = layout("Reservation Register Data", 16, {
  crkey: u64le,
  nrkey: u64le,
});
/** Data of Reservation Acquire, figure 396: current key, key to preempt. */
export const reservationAcquireData = layout("Reservation Acquire Data", 16, {
  crkey: u64le,
  prkey: u64le,
});
/** Data of Reservation Release, figure 404. */
export const reservationReleaseData = layout("Reservation Release Data", 8, { crkey: u64le });

const statusHeader = {
  gen: u32le,
  rtype: u8,
  regctl: u16le,
  reserved7: reserved(2),
  ptpls: u8,
  reserved10: reserved(14),
};
const registrantStatus = bits(1, { holder: flag, reserved1: 7 });

/** Reservation Status up to its registrants, figure 406. */
export const reservationStatusHeader = layout("Reservation Status", 24, statusHeader);
/** Reservation Status, extended, up to its registrants, figure 407. */
const reservationStatusExtendedHeader = layout("Reservation Status Extended", 64, {
  ...statusHeader,
  reserved24: reserved(40),
});
/** Registered Controller, figure 408: for hosts with an 8-byte identifier. */
export const registeredController = layout("Registered Controller", 24, {
  cntlid: u16le,
  rcsts: registrantStatus,
  reserved3: reserved(5),
  hostid: u64le,
  rkey: u64le,
});
/** Registered Controller, extended, figure 409: for hosts with a 16-byte identifier. */
const registeredControllerExtended = layout("Registered Controller Extended", 64, {
  cntlid: u16le,
  rcsts: registrantStatus,
  reserved3: reserved(5),
  rkey: u64le,
  hostid: bytes(16),
  reserved32: reserved(32),
});

/** A host that has registered, through one controller. */
export type Registrant = LayoutValue<typeof registeredControllerExtended>;

/** What Reservation Report with EDS = 1 returns; every host over fabrics asks for that. */
export interface ReservationStatus {
  /** Counts registrations, unregistrations and preemptions, modulo 2^32. */
  readonly gen: number;
  /** One of `reservationType`. */
  readonly rtype: number;
  /** 1 when the state survives loss of power. */
  readonly ptpls: number;
  readonly registrants: readonly Registrant[];
}

/** Writes an extended Reservation Status with all its registrants. */
export function encodeReservationStatus(status: ReservationStatus): Uint8Array {
  const { registrants, ...header } = status;
  const entry = registeredControllerExtended;
  const raw = new Uint8Array(
    reservationStatusExtendedHeader.size + entry.size * registrants.length,
  );
  reservationStatusExtendedHeader.encodeInto({ ...header, regctl: registrants.length }, raw);
  registrants.forEach((registrant, index) => {
    entry.encodeInto(registrant, raw, reservationStatusExtendedHeader.size + entry.size * index);
  });
  return raw;
}

/** Reads an extended Reservation Status, or `undefined` when it claims more than `raw` holds. */
export function decodeReservationStatus(raw: Uint8Array): ReservationStatus | undefined {
  const start = reservationStatusExtendedHeader.size;
  const entry = registeredControllerExtended;
  if (raw.length < start) return undefined;
  const { gen, rtype, ptpls, regctl } = reservationStatusExtendedHeader.decode(raw);
  if (start + regctl * entry.size > raw.length) return undefined;
  const registrants = Array.from({ length: regctl }, (_, index) =>
    entry.decode(raw, start + entry.size * index),
  );
  return { gen, rtype, ptpls, registrants };
}

/** Reservation Notification log page (80h), figure 246; all zero when there is none. */
export const reservationNotification = layout("Reservation Notification", 64, {
  lpc: u64le,
  type: u8,
  nalp: u8,
  reserved10: reserved(2),
  nsid: u32le,
  reserved16: reserved(48),
});

/** Reservation Notification Log Page Type, figure 246. */
export const reservationNotificationType = {
  empty: 0,
  registrationPreempted: 1,
  reservationReleased: 2,
  reservationPreempted: 3,
} as const;
