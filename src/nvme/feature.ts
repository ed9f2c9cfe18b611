/** Features that a host sets, and asynchronous events. NVMe Base 2.0 §5.27 and §5.2. */

import { bits, flag, layout, reserved, u8 } from "../bytes/index.ts";
import { count16 } from "./zero-based.ts";

/** Feature Identifiers, figure 317 and NVM Command Set figure 85. */
export const feature = {
  volatileWriteCache: 0x06,
  numberOfQueues: 0x07,
  asyncEventConfiguration: 0x0b,
  keepAliveTimer: 0x0f,
  hostIdentifier: 0x81,
  reservationMask: 0x82,
  namespaceWriteProtect: 0x84,
} as const;

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
export const notice = { namespaceAttribute: 0x00, ana: 0x03, discoveryLog: 0xf0 } as const;
