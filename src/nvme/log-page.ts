/**
 * Which log pages there are, and the page that lists them. NVMe Base 2.0 §5.16.1, figure 202.
 * The structures of the pages are in the files named after them.
 */

import { bits, flag, type LayoutValue, layout, repeat, reserved } from "../bytes/index.ts";

/** Log Page Identifiers, figure 202. */
export const logPage = {
  supportedLogPages: 0x00,
  errorInformation: 0x01,
  smart: 0x02,
  firmwareSlot: 0x03,
  changedNamespaces: 0x04,
  commandsSupported: 0x05,
  ana: 0x0c,
  featuresSupported: 0x12,
  discovery: 0x70,
  reservationNotification: 0x80,
} as const;

/** How many log page identifiers and opcodes there can be. */
const identifiers = 256;

const lidSupported = bits(4, { lsupp: flag, ios: flag, reserved2: 14, lidsp: 16 });

/** Supported Log Pages (00h), figure 204: whether each page is there, by its identifier. */
export const supportedLogPages = layout("Supported Log Pages", 1024, {
  lids: repeat(lidSupported, identifiers),
});

/** Writes the page that lists `lids`; index offsets are supported by none. */
export function encodeSupportedLogPages(lids: readonly number[]): Uint8Array {
  return supportedLogPages.encode({
    lids: Array.from({ length: identifiers }, (_, lid) => ({
      lsupp: lids.includes(lid),
      ios: false,
      lidsp: 0,
    })),
  });
}

const commandEffect = bits(4, {
  csupp: flag,
  lbcc: flag,
  ncc: flag,
  nic: flag,
  ccc: flag,
  reserved5: 9,
  cser: 2,
  cse: 3,
  uss: flag,
  csp: 12,
});

/** Commands Supported and Effects (05h), figure 210, each entry by its opcode. */
export const commandsSupportedLog = layout("Commands Supported and Effects", 4096, {
  acs: repeat(commandEffect, identifiers),
  iocs: repeat(commandEffect, identifiers),
  reserved2048: reserved(2048),
});

/** What one command does beside its work, figure 211. */
export type CommandEffect = LayoutValue<typeof commandsSupportedLog>["acs"][number];

/** Opcodes that are there, with the effects that are not none. */
export type CommandEffects = ReadonlyMap<number, Partial<Omit<CommandEffect, "csupp">>>;

/** Writes the page from what is supported on admin and on I/O queues. */
export function encodeCommandsSupported(admin: CommandEffects, io: CommandEffects): Uint8Array {
  return commandsSupportedLog.encode({ acs: effectsOf(admin), iocs: effectsOf(io) });
}

function effectsOf(supported: CommandEffects): CommandEffect[] {
  const none = { lbcc: false, ncc: false, nic: false, ccc: false, cser: 0, cse: 0, uss: false };
  return Array.from({ length: identifiers }, (_, opc) => ({
    ...none,
    csp: 0,
    ...supported.get(opc),
    csupp: supported.has(opc),
  }));
}

const featureEffect = bits(4, {
  fsupp: flag,
  udcc: flag,
  ncc: flag,
  nic: flag,
  ccc: flag,
  reserved5: 14,
  uss: flag,
  fsp: 12,
});

/** Feature Identifiers Supported and Effects (12h), Base 2.0 figure 259, each entry by its FID. */
export const featuresSupportedLog = layout("Feature Identifiers Supported and Effects", 1024, {
  fis: repeat(featureEffect, identifiers),
});

/** FID Scope: what a feature's value belongs to. */
export const featureScope = { namespace: 1, controller: 2 } as const;

/** Writes the page from the features that are there and their scopes, by identifier. */
export function encodeFeaturesSupported(
  scopes: ReadonlyMap<number, keyof typeof featureScope>,
): Uint8Array {
  const none = { udcc: false, ncc: false, nic: false, ccc: false, uss: false };
  return featuresSupportedLog.encode({
    fis: Array.from({ length: identifiers }, (_, fid) => {
      const scope = scopes.get(fid);
      return { ...none, fsupp: scope !== undefined, fsp: scope ? featureScope[scope] : 0 };
    }),
  });
}
