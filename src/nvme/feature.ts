/** Features that a host sets, and asynchronous events. NVMe Base 2.0 §5.27 and §5.2. */

import { bits, bytes, flag, layout, reserved, u8, u16le, u32le } from "../bytes/index.ts";
import { dword, dwordOf } from "./connect.ts";
import { logPage } from "./log-page.ts";
import { count16 } from "./zero-based.ts";

/** Feature Identifiers, figure 317 and NVM Command Set figure 85. */
export const feature = {
  arbitration: 0x01,
  powerManagement: 0x02,
  temperatureThreshold: 0x04,
  errorRecovery: 0x05,
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  writeAtomicity: 0x0a,
  asyncEventConfiguration: 0x0b,
  timestamp: 0x0e,
  keepAliveTimer: 0x0f,
  hostBehavior: 0x16,
  commandSetProfile: 0x19,
  hostIdentifier: 0x81,
  reservationMask: 0x82,
  reservationPersistence: 0x83,
  namespaceWriteProtect: 0x84,
} as const;

/** Select (SEL) of Get Features, figure 186: which of a feature's values is asked for. */
export const featureSelect = { current: 0, default: 1, saved: 2, capabilities: 3 } as const;

/** DW0 of Get Features that asked for capabilities, figure 189. */
export const featureCapabilities = layout("Feature Capabilities", 4, {
  bits: bits(4, { saveable: flag, namespaceSpecific: flag, changeable: flag, reserved3: 29 }),
});

/** Number of Queues, §5.27.1.5: CDW11 asks, DW0 of the completion grants; both are counts. */
export const numberOfQueues = layout("Number of Queues", 4, { nsq: count16, ncq: count16 });

/** Asynchronous Event Configuration, §5.27.1.8 (CDW11); OAES of Identify Controller is alike. */
export const asyncEventConfiguration = layout("Asynchronous Event Configuration", 4, {
  bits: bits(4, {
    smart: 8,
    namespaceAttribute: flag,
    firmwareActivation: flag,
    telemetry: flag,
    ana: flag,
    predictableLatency: flag,
    lbaStatus: flag,
    enduranceGroup: flag,
    normalShutdown: flag,
    reserved16: 11,
    zoneDescriptor: flag,
    reserved28: 3,
    discoveryLog: flag,
  }),
});

/** Error Recovery, NVM Command Set §4.1.3.2 (CDW11); `tler` counts 100 ms. */
export const errorRecovery = layout("Error Recovery", 4, {
  tler: u16le,
  behavior: bits(2, { dulbe: flag, reserved17: 15 }),
});

/** Volatile Write Cache, §5.27.1.4 (CDW11). */
export const volatileWriteCache = layout("Volatile Write Cache", 4, {
  bits: bits(4, { wce: flag, reserved1: 31 }),
});

/** Keep Alive Timer, §5.27.1.12 (CDW11): the timeout in milliseconds, 0 for none. */
export const keepAliveTimer = layout("Keep Alive Timer", 4, { kato: u32le });

/** Timestamp, §5.27.1.11 (data): milliseconds since 1970, and how they came to be. */
export const timestamp = layout("Timestamp", 8, {
  low: u32le,
  high: u16le,
  attributes: bits(1, { synch: flag, origin: 3, reserved4: 4 }),
  reserved7: reserved(1),
});
/** Timestamp Origin: cleared by a reset, or set by a host. */
export const timestampOrigin = { cleared: 0, set: 1 } as const;

/** Host Identifier, §5.27.1.25: CDW11 says which size; over fabrics it is always the long one. */
export const hostIdentifierSize = layout("Host Identifier CDW11", 4, {
  bits: bits(4, { exhid: flag, reserved1: 31 }),
});
/** Host Identifier (data) with EXHID set. */
export const hostIdentifier = layout("Host Identifier", 16, { hostid: bytes(16) });

/** Reservation Notification Mask, §5.27.1.26 (CDW11): a set bit mutes that notification. */
export const reservationMask = layout("Reservation Notification Mask", 4, {
  bits: bits(4, { reserved0: 1, regpre: flag, resrel: flag, respre: flag, reserved4: 28 }),
});

/** Reservation Persistence, §5.27.1.27 (CDW11). */
export const reservationPersistence = layout("Reservation Persistence", 4, {
  bits: bits(4, { ptpl: flag, reserved1: 31 }),
});

/** Namespace Write Protection Config, §5.27.1.28 (CDW11, and DW0 of Get Features). */
export const namespaceWriteProtect = layout("Namespace Write Protection Config", 4, {
  bits: bits(4, { wps: 3, reserved3: 29 }),
});
/** Write Protection State (WPS), figure 384. */
export const writeProtectState = {
  none: 0,
  writeProtect: 1,
  untilPowerCycle: 2,
  permanent: 3,
} as const;

/** DW0 of a completed Asynchronous Event Request, §5.2.1. */
export const asyncEvent = layout("Asynchronous Event", 4, {
  type: bits(1, { aet: 3, reserved3: 5 }),
  info: u8,
  lid: u8,
  reserved3: reserved(1),
});

/** Asynchronous Event Type, figure 145. */
export const asyncEventType = { error: 0, smart: 1, notice: 2, io: 6, vendor: 7 } as const;

/** Asynchronous Event Information of notices, figure 148. */
export const notice = {
  namespaceAttribute: 0x00,
  firmwareActivation: 0x01,
  ana: 0x03,
  discoveryLog: 0xf0,
} as const;

/** Events that this part can name: type, information, and the page whose reading rearms it. */
const events = {
  namespaceAttribute: event("notice", notice.namespaceAttribute, logPage.changedNamespaces),
  ana: event("notice", notice.ana, logPage.ana),
  discoveryLog: event("notice", notice.discoveryLog, logPage.discovery),
  firmwareActivation: event("notice", notice.firmwareActivation, logPage.firmwareSlot),
  reservation: event("io", 0x00, logPage.reservationNotification),
  persistentInternalError: event("error", 0x03, logPage.errorInformation),
  transientInternalError: event("error", 0x04, logPage.errorInformation),
  reliability: event("smart", 0x00, logPage.smart),
  temperature: event("smart", 0x01, logPage.smart),
  spare: event("smart", 0x02, logPage.smart),
} as const;

/** An event by its name, figures 146 to 150. */
export type AsyncEventName = keyof typeof events;

/** DW0 that completes an Asynchronous Event Request with the event. */
export function encodeAsyncEvent(name: AsyncEventName): number {
  return dwordOf(asyncEvent.encode(events[name]));
}

/** The event that a DW0 tells of; `unknown` for those without a name here. */
export function decodeAsyncEvent(dw0: number): {
  readonly name: AsyncEventName | "unknown";
  /** Log page to read, which rearms the event. */
  readonly lid: number;
} {
  const { type, info, lid } = asyncEvent.decode(dword(dw0));
  const all = Object.keys(events) as AsyncEventName[];
  const name = all.find((one) => events[one].type.aet === type.aet && events[one].info === info);
  return { name: name ?? "unknown", lid };
}

function event(type: keyof typeof asyncEventType, info: number, lid: number) {
  return { type: { aet: asyncEventType[type] }, info, lid };
}
