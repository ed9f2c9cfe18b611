/** The control channel's methods on a box that is made of values, called through both ends of it. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type DigestRange, digestsLength, digestUnits, MemoryDisk } from "../block/index.ts";
import {
  type AccessMode,
  type CallParams,
  hashesMax,
  orphanGraceSeconds,
  RpcClient,
  RpcError,
  RpcSession,
} from "../rpc/index.ts";
import { type BoxState, type BoxTools, boxMethods } from "./box-methods.ts";
import { EventList } from "./events.ts";
import { grantNqn } from "./grant-exports.ts";
import { keyMaker } from "./grant-keys.ts";
import { Grants } from "./grants.ts";
import type { HashedDisk } from "./hashing.ts";
import { takeInventory } from "./inventory.ts";
import type { State } from "./state.ts";
import { nvmeFacts, sampleFacts, stickFacts, virtioFacts } from "./testing/facts-samples.ts";

const prefix = "nqn.2026-11.io.diskomator:1a2b3c4d:";
const at = "2026-11-23T12:00:00.000Z";
const hostnqn = "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";

function stateOf(access: AccessMode, readOnly: boolean): State {
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

/** A client of a box on which the targets serve what is granted, unless told otherwise. */
function connect(
  options: { access?: AccessMode; readOnly?: boolean; broken?: boolean; letIn?: boolean } = {},
) {
  const { access = "paired", readOnly = false, broken = false, letIn = false } = options;
  let count = 0;
  const keys = keyMaker((length) => new Uint8Array(length).fill(++count));
  const grants = new Grants();
  const events = new EventList();
  const done: string[] = [];
  const device = new MemoryDisk({ sizeBytes: 1024 * 1024 });
  const box: BoxState = {
    state: stateOf(access, readOnly),
    settle: async () => void done.push("settle"),
    get reach() {
      const served = grants.list.flatMap((one) => one.nqns.map((n) => grantNqn(n, one.hostnqn)));
      return { served: new Set(broken ? [] : served), failures: broken ? ["cannot open it"] : [] };
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
    end: (how) => void done.push(how),
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
  return { client, handlers, session, grants, events, done, choices, device };
}

const wish: CallParams<"grant"> = { hostnqn, disks: ["nvme0n1"], mode: "rw", seconds: 60 };

const fails = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RpcError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};

test("describe says who the box is, and where its ports are", async () => {
  const { client } = connect();
  const found = await client.call("describe", {});
  assert.equal(found.name, "lunch-feta");
  assert.deepEqual(found.ports, { nvme: 4420, discovery: 8009, readOnly: 4421 });
  assert.deepEqual([found.access, found.tls, found.now], ["paired", true, at]);
});

test("disks lists them with traffic and peers; what costs time only when it is asked for", async () => {
  const { client } = connect();
  const plain = await client.call("disks", {});
  assert.deepEqual(
    plain.disks.map(({ name, readOnly, state, contents }) => [
      name,
      readOnly,
      state.kind,
      contents,
    ]),
    [
      ["nvme0n1", false, "exported", null],
      ["vda", false, "exported", null],
      ["sdr", true, "exported", null],
      ["sdb", false, "not exported", null],
    ],
  );
  assert.equal(plain.peers[0]?.connections, 3);
  const { disks } = await client.call("disks", { contents: true });
  assert.equal(disks[0]?.contents?.line, "blank");
});

test("grant gives keys, ports and identities, and tells nobody but who asked", async () => {
  const { client, events } = connect();
  const given = await client.call("grant", { ...wish, purpose: "flash by ada@desk" });
  assert.equal(given.expiresAt, "2026-11-23T12:01:00.000Z");
  assert.match(given.secrets.host, /^DHHC-1:01:/);
  assert.match(given.tlsPsk ?? "", /^NVMeTLSkey-1:01:/);
  const [disk] = given.disks;
  assert.deepEqual([disk?.nqn, disk?.port], [grantNqn(`${prefix}nvme0n1`, hostnqn), 4420]);
  assert.ok(disk?.tlsIdentity?.startsWith(`NVMe1R01 ${hostnqn} ${disk.nqn} `));
  const listed = await client.call("disks", {});
  const told = JSON.stringify([events.after(0), listed]);
  assert.match(told, /flash by ada@desk/);
  assert.doesNotMatch(told, /DHHC-1|NVMeTLSkey/);
});

const refused: readonly [
  name: string,
  options: Parameters<typeof connect>[0],
  change: Partial<CallParams<"grant">>,
  code: string,
  message: RegExp,
][] = [
  ["a disk that is not there", {}, { disks: ["sdz"] }, "no-such-disk", /there are: nvme0n1, vda/],
  ["the boot medium", {}, { disks: ["sdb"] }, "not-exported", /this box booted from it/],
  ["writing to a disk that takes none", {}, { disks: ["RO1"] }, "read-only", /sdr.*Ask for "ro"/],
  ["writing to a read-only box", { readOnly: true }, {}, "read-only", /opens no disk for writing/],
  ["anybody in local mode", { access: "local" }, {}, "refused", /presses L/],
  ["what the kernel does not serve", { broken: true }, {}, "failed", /cannot open it/],
  ["too large an overlay", {}, { mode: "overlay", overlayBytes: 1001 }, "limit", /1000 left/],
];
for (const [name, options, change, code, message] of refused) {
  test(`grant refuses ${name}, and leaves nothing behind`, async () => {
    const { client, grants } = connect(options);
    await assert.rejects(client.call("grant", { ...wish, ...change }), fails(code, message));
    assert.deepEqual(grants.list, []);
  });
}

test("grant takes what is read only, in every way that leaves it so", async () => {
  const { client } = connect({ readOnly: true });
  for (const mode of ["ro", "overlay"] as const) {
    const one = { ...wish, disks: [mode === "ro" ? "sdr" : "vda"], mode };
    const { disks } = await client.call("grant", one);
    assert.deepEqual([disks[0]?.port, disks[0]?.readOnly], [4421, mode === "ro"]);
  }
});

test("grant in local mode works once somebody has let hosts in", async () => {
  const { client } = connect({ access: "local", letIn: true });
  assert.equal((await client.call("grant", wish)).grant, "g1");
});

test("overlays share the memory that there is for them", async () => {
  const { client } = connect();
  await client.call("grant", { ...wish, mode: "overlay", overlayBytes: 600 });
  const next = { disks: ["vda"], mode: "overlay" as const, overlayBytes: 600 };
  await assert.rejects(client.call("grant", { ...wish, ...next }), fails("limit", /400 left/));
});

test("a grant until the session ends is gone soon after, unless another session takes it over", async () => {
  const { client, session, grants, events } = connect();
  const held = { ...wish, untilSessionEnds: true };
  const { grant: stays } = await client.call("grant", { ...held, disks: ["vda"] });
  await client.call("grant", { ...wish, disks: ["vda"], seconds: null });
  const { grant: goes } = await client.call("grant", { ...held, seconds: null });
  await client.call("grant", held);
  session.close();
  await turn();
  const ends = new Map(grants.list.map(({ id, expiresMs }) => [id, expiresMs]));
  assert.deepEqual([ends.get(goes), ends.get(stays)], [5000 + orphanGraceSeconds * 1000, null]);
  const told = events.after(0).filter(({ event }) => event === "orphaned");
  assert.deepEqual(
    told.map(({ fields }) => fields),
    [{ grant: goes, seconds: orphanGraceSeconds }],
  );
});

test("revoke takes a grant back once", async () => {
  const { client, grants } = connect();
  const { grant } = await client.call("grant", wish);
  await client.call("revoke", { grant });
  assert.deepEqual(grants.list, []);
  await assert.rejects(client.call("revoke", { grant }), fails("no-such-grant", /g1: it was/));
});

test("unexport withdraws a disk and revokes what was granted of it; export offers it again", async () => {
  const { client, grants, choices } = connect();
  await client.call("grant", wish);
  await client.call("grant", { ...wish, disks: ["vda"] });
  await client.call("unexport", { disk: "nvme0n1" });
  const { value } = takeInventory(nvmeFacts).identity;
  assert.deepEqual([...choices.withdrawn], [value]);
  assert.deepEqual(
    grants.list.map(({ nqns }) => nqns),
    [[`${prefix}vda`]],
  );
  await client.call("export", { disk: "nvme0n1" });
  assert.deepEqual([[...choices.withdrawn], [...choices.offered]], [[], [value]]);
  await assert.rejects(client.call("export", { disk: "sdb" }), fails("not-exported", /booted/));
});

test("hash gives the digests of units in order, the last one shorter", async () => {
  const { client, device } = connect();
  const data = Buffer.alloc(3 * 4096, "x");
  await device.write(8192, data);
  const found: [number, string][] = [];
  const ranges = [
    { offsetBytes: 8192, lengthBytes: 3 * 4096 },
    { offsetBytes: 0, lengthBytes: 4096 },
  ];
  const sum = await client.stream("hash", { disk: "vda", ranges, unitBytes: 8192 }, (item) => {
    found.push([item.offsetBytes, Buffer.from(item.digests, "base64").toString("hex")]);
  });
  const hex = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  assert.deepEqual(found, [
    [8192, hex(data.subarray(0, 8192)) + hex(data.subarray(0, 4096))],
    [0, "0".repeat(64)],
  ]);
  assert.deepEqual(sum, { units: 3, bytes: 16384 });
});

test("hash in small units comes in items that the session takes", async () => {
  const { client, device } = connect();
  await device.write(0, Buffer.alloc(device.sizeBytes, "x"));
  const ranges = Array.from({ length: 5 }, () => ({ offsetBytes: 0, lengthBytes: 1024 * 1024 }));
  const found: Buffer[] = [];
  await client.stream("hash", { disk: "vda", ranges, unitBytes: 4096 }, ({ digests }) => {
    found.push(Buffer.from(digests, "base64"));
  });
  assert.equal(Buffer.concat(found).length, 5 * 256 * 32);
});

test("hash of much is bounded, and little finds room beside it", async () => {
  const { handlers } = connect();
  const gate = Promise.withResolvers<void>();
  const { signal } = new AbortController();
  const ask = (mebibytes: number, send: () => Promise<void>) => {
    const range = { offsetBytes: 0, lengthBytes: 1024 * 1024 };
    const ranges = Array.from({ length: mebibytes }, () => range);
    const params = { stream: 1, disk: "vda", ranges, unitBytes: 1024 * 1024 };
    return handlers.hash(params, { signal, session: signal, send });
  };
  const long = Array.from({ length: hashesMax }, () => ask(17, () => gate.promise));
  await assert.rejects(
    ask(17, async () => {}),
    fails("limit", /hashes 8 disks already/),
  );
  assert.equal((await ask(1, async () => {})).units, 1);
  gate.resolve();
  await Promise.all(long);
  assert.equal((await ask(17, async () => {})).units, 17);
});

test("hash refuses ranges beyond the disk, or not in whole blocks", async () => {
  for (const [offsetBytes, lengthBytes, unitBytes] of [
    [1024 * 1024, 512, 4096],
    [1, 512, 4096],
    [0, 100, 4096],
    [0, 512, 4097],
  ] as const) {
    const { client } = connect();
    const params = { disk: "vda", ranges: [{ offsetBytes, lengthBytes }], unitBytes };
    await assert.rejects(
      client.stream("hash", params, () => {}),
      fails("range", /vda/),
    );
  }
});

test("watch tells events as they come, log those that were", async () => {
  const { client, events } = connect();
  const seen: string[] = [];
  const abort = new AbortController();
  const watching = client.stream("watch", {}, (event) => seen.push(event.event), abort);
  await turn();
  await client.call("grant", wish);
  events.add("state", {}, new Date(at));
  await turn();
  assert.deepEqual(seen, ["granted", "state"]);
  abort.abort(new Error("enough"));
  await assert.rejects(watching, /enough/);
  const { events: all } = await client.call("log", {});
  assert.deepEqual(
    all.map(({ number, event }) => [number, event]),
    [[1, "granted"]],
  );
  assert.deepEqual((await client.call("log", { after: 1 })).events, []);
});

test("reboot, powerOff and blink reach the machine", async () => {
  const { client, done } = connect();
  await client.call("blink", { disk: "vda", seconds: 5 });
  await client.call("reboot", {});
  await client.call("powerOff", {});
  assert.deepEqual(done, ["blink vda 5", "reboot", "poweroff"]);
});

test("bootOnce prepares the disk, looks at all others, and reboots", async () => {
  const { client, done, events } = connect();
  const run = "6c0f57bd-7e5c";
  const prepared = await client.call("bootOnce", { disk: "nvme0n1", run });
  assert.equal(prepared.entry, "0007");
  assert.deepEqual(done, ["prepare nvme0n1 beside vda sdr sdb", "reboot"]);
  assert.equal(events.after(0).at(-1)?.fields.how, "boot-once");
  assert.equal((await client.call("bootState", {})).lastRun, null);
});

test("bootOnce with kexec ends the box so that the kernel which was loaded starts", async () => {
  const { client, done, events } = connect();
  const params = { disk: "nvme0n1", run: "6c0f57bd-7e5c", kexec: true };
  assert.equal((await client.call("bootOnce", params)).entry, null);
  assert.equal(done.at(-1), "kexec");
  assert.equal(events.after(0).at(-1)?.fields.how, "kexec");
});

test("bootOnce does not boot what the box booted from, nor a disk that is not there", async () => {
  const { client, done } = connect();
  const run = "6c0f57bd-7e5c";
  const boot = (disk: string) => client.call("bootOnce", { disk, run });
  await assert.rejects(boot("sdb"), fails("refused", /the box itself booted from it/));
  await assert.rejects(boot("sdz"), fails("no-such-disk", /No disk is called sdz/));
  assert.deepEqual(done, []);
});
