/** A box that is made of values, called through both ends of its control channel. */
import assert from "node:assert/strict";
import { type DigestRange, digestsLength, digestUnits, MemoryDisk } from "../../block/index.ts";
import {
  type AccessMode,
  type CallParams,
  RpcClient,
  RpcError,
  RpcSession,
} from "../../rpc/index.ts";
import { type BoxState, type BoxTools, boxMethods } from "../box-methods.ts";
import { EventList } from "../events.ts";
import type { BlockFacts } from "../facts.ts";
import { grantNqn } from "../grant-exports.ts";
import { keyMaker } from "../grant-keys.ts";
import { Grants } from "../grants.ts";
import type { HashedDisk } from "../hashing.ts";
import { takeInventory } from "../inventory.ts";
import type { State } from "../state.ts";
import { nvmeFacts, sampleFacts, stickFacts, virtioFacts } from "./facts-samples.ts";

/** Of the NQNs of the box. */
export const prefix = "nqn.2026-11.io.diskomator:1a2b3c4d:";
/** When everything happens. */
export const at = "2026-11-23T12:00:00.000Z";
/** A host that asks. */
export const hostnqn = "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";

function stateOf(access: AccessMode, readOnly: boolean, more: readonly BlockFacts[]): State {
  const exported = (facts: typeof nvmeFacts) => {
    const disk = takeInventory(facts);
    const nqn = `${prefix}${disk.name}`;
    const state = { kind: "exported", nqn, uuid: "u", since: at, tookMs: 5 } as const;
    return { disk, state };
  };
  const reason = { code: "boot-medium", text: "this box booted from it" } as const;
  return {
    format: 1,
    box: "1a2b3c4d",
    name: "lunch-feta",
    fullName: "lunch-feta-olive",
    version: "0.1.0",
    access,
    readOnly,
    notice: null,
    grants: [],
    servicePort: 4420,
    addresses: [
      {
        interface: "eth0",
        address: "192.0.2.7",
        family: "IPv4",
        linkLocal: false,
        mac: "52:54:00:12:34:56",
      },
    ],
    disks: [
      exported(nvmeFacts),
      exported(virtioFacts),
      exported(sampleFacts({ name: "sdr", readOnly: true, udev: { ID_SERIAL_SHORT: "RO1" } })),
      { disk: takeInventory(stickFacts), state: { kind: "not exported", reason } },
      ...more.map(exported),
    ],
    bootMedium: "sdb",
    problems: [],
    kernelMessages: [],
    startedAt: at,
    bootedAt: at,
  };
}

function hashed(device: MemoryDisk): HashedDisk {
  const { sizeBytes, blockSizeBytes } = device;
  async function* digest(ranges: readonly DigestRange[], unitBytes: number) {
    for (const { offsetBytes, lengthBytes } of ranges) {
      const data = new Uint8Array(lengthBytes);
      await device.read(offsetBytes, data);
      const digests = new Uint8Array(digestsLength(lengthBytes, unitBytes));
      digestUnits(data, unitBytes, digests, 0);
      yield { offsetBytes, lengthBytes, digests };
    }
  }
  return { sizeBytes, blockSizeBytes, digest, [Symbol.asyncDispose]: async () => {} };
}

interface BoxOptions {
  readonly access?: AccessMode;
  readonly readOnly?: boolean;
  readonly broken?: boolean;
  readonly letIn?: boolean;
  readonly stays?: boolean;
  /** Disks beside the usual ones, exported. */
  readonly more?: readonly BlockFacts[];
}

/** A client of a box on which the targets serve what is granted, unless told otherwise. */
export function connectBox(options: BoxOptions = {}) {
  const { access = "paired", readOnly = false, broken = false, letIn = false } = options;
  const { stays = false, more = [] } = options;
  let count = 0;
  const keys = keyMaker((length) => new Uint8Array(length).fill(++count));
  const grants = new Grants();
  const events = new EventList();
  const done: string[] = [];
  /** What goes wrong from now on. */
  const faults = { isBroken: broken };
  const device = new MemoryDisk({ sizeBytes: 1024 * 1024 });
  const box: BoxState = {
    state: stateOf(access, readOnly, more),
    settle: async () => void done.push("settle"),
    get reach() {
      const served = grants.list.flatMap((one) => one.nqns.map((n) => grantNqn(n, one.hostnqn)));
      const { isBroken } = faults;
      const failures = isBroken ? ["cannot open it"] : [];
      return { served: new Set(isBroken ? [] : served), failures };
    },
  };
  const tools: BoxTools = {
    openDisk: async () => device,
    openHashed: async () => hashed(device),
    contents: async () => ({ line: "blank", isBlank: true, partitions: [] }),
    health: async () => null,
    traffic: () => ({ readBytes: 512, writtenBytes: 0, inFlight: 0, at }),
    peers: () => [{ address: "192.0.2.9", port: 4420, connections: 3 }],
    overlayUse: () => ({ usedBytes: 65536, maxBytes: 1000 }),
    overlayBytesMax: 1000,
    now: () => new Date(at),
    monotonicMs: () => 5000,
    end: async (how) => {
      done.push(how);
      if (stays) throw new Error("systemctl failed: no bus");
    },
    blink: (disk, seconds) => void done.push(`blink ${disk} ${seconds}`),
  };
  const choices = { withdrawn: new Set<string>(), offered: new Set<string>() };
  const log: Parameters<typeof boxMethods>[0]["log"] = (event, fields) =>
    events.add(event, fields, new Date(at));
  const isLetIn = () => letIn;
  const comeback = { certain: true, text: "its entry is first" };
  const rest = { secureBoot: null, firmwareMs: null, loaderMs: null, underTest: null };
  const boot: Parameters<typeof boxMethods>[0]["boot"] = {
    state: async () => ({ comeback, ...rest, lastRun: null }),
    takeBack: async () => {
      done.push("take back");
      return "Nothing was changed.";
    },
    prepare: async ({ disk, others, kexec }) => {
      done.push(`prepare ${disk.name} beside ${others.join(" ")}`);
      return {
        entry: kexec ? null : "0007",
        path: "\\EFI\\BOOT\\BOOTX64.EFI",
        partUuid: "u",
        comeback,
      };
    },
  };
  const handlers = boxMethods({
    box,
    tools,
    grants,
    keys,
    choices,
    events,
    tls: true,
    isLetIn,
    boot,
    log,
  });
  const client = new RpcClient((line) => void session.receive(Buffer.from(line)));
  const session = new RpcSession({
    handlers,
    write: async (line) => client.receive(Buffer.from(line)),
  });
  return { client, handlers, session, grants, events, done, choices, device, faults };
}

/** Over a session of its own. */
export function anotherClient(handlers: ReturnType<typeof connectBox>["handlers"]): RpcClient {
  const client = new RpcClient((line) => void session.receive(Buffer.from(line)));
  const session = new RpcSession({
    handlers,
    write: async (line) => client.receive(Buffer.from(line)),
  });
  return client;
}

/** A grant that is given. */
export const wish: CallParams<"grant"> = { hostnqn, disks: ["nvme0n1"], mode: "rw", seconds: 60 };

/** For `assert.rejects`: an RpcError with this code and message. */
export const fails = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RpcError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};
