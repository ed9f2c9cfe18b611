/** A box made of values, for tests of both ends. */

import type { Handlers } from "../session.ts";
import type { BoxDescription } from "../values.ts";

const at = "2026-11-23T12:00:00.000Z";
const done = async () => ({});

/** Handlers that answer at once, changed where a test wants something else. */
export function sampleHandlers(changes: Partial<Handlers> = {}): Handlers {
  return {
    describe: async () => sampleDescription(),
    disks: async () => ({ disks: [], grants: [], peers: [] }),
    grant: async ({ hostnqn, mode }) => ({
      grant: "g1",
      hostnqn,
      mode,
      expiresAt: null,
      secrets: { host: "DHHC-1:01:aG9zdA==:", controller: "DHHC-1:01:Y3RybA==:" },
      tlsPsk: null,
      addresses: [],
      disks: [],
    }),
    revoke: done,
    export: done,
    unexport: done,
    hash: async ({ ranges }, { send }) => {
      for (const { offsetBytes } of ranges) {
        await send({ offsetBytes, digests: Buffer.alloc(32, 1).toString("base64") });
      }
      return { units: ranges.length, bytes: 0 };
    },
    watch: (_params, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
    log: async () => ({ events: [] }),
    bootOnce: async () => ({
      entry: "0007",
      path: "\\EFI\\BOOT\\BOOTX64.EFI",
      partUuid: "0fc63daf-8483-4772-8e79-3d69d8477de4",
      comeback: { certain: true, text: "the box's entry is first" },
    }),
    bootState: async () => ({
      comeback: { certain: true, text: "the box's entry is first" },
      secureBoot: false,
      firmwareMs: null,
      loaderMs: null,
      underTest: null,
      lastRun: null,
    }),
    reboot: done,
    powerOff: done,
    blink: done,
    ...changes,
  };
}

/** A box as it describes itself. */
export function sampleDescription(changes: Partial<BoxDescription> = {}): BoxDescription {
  return {
    rpc: 1,
    name: "lunch-feta",
    fullName: "lunch-feta-olive",
    box: "cd7c3f8f",
    version: "0.1.0",
    access: "paired",
    readOnly: false,
    addresses: [],
    ports: { nvme: 4420, discovery: 8009, readOnly: 4421 },
    tls: true,
    bootMedium: "sda",
    problems: [],
    startedAt: at,
    bootedAt: at,
    now: at,
    ...changes,
  };
}
