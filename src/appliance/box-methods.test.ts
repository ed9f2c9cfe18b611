/** The control channel's methods on a box that is made of values, called through both ends of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type CallParams, orphanGraceSeconds } from "../rpc/index.ts";
import { grantNqn } from "./grant-exports.ts";
import { takeInventory } from "./inventory.ts";
import {
  anotherClient,
  at,
  connectBox,
  fails,
  hostnqn,
  prefix,
  wish,
} from "./testing/box-client.ts";
import { nvmeFacts } from "./testing/facts-samples.ts";

test("describe says who the box is, and where its ports are", async () => {
  const { client } = connectBox();
  const found = await client.call("describe", {});
  assert.equal(found.name, "lunch-feta");
  assert.deepEqual(found.ports, { nvme: 4420, discovery: 8009, readOnly: 4421 });
  assert.deepEqual([found.access, found.tls, found.now], ["paired", true, at]);
});

test("disks lists them with traffic and peers; what costs time only when it is asked for", async () => {
  const { client } = connectBox();
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
  const { client, events } = connectBox();
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
  options: Parameters<typeof connectBox>[0],
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
  [
    "to share what is not written to",
    {},
    { mode: "ro", shared: true },
    "invalid",
    /asked for as "ro"/,
  ],
  ["too large an overlay", {}, { mode: "overlay", overlayBytes: 1001 }, "limit", /1000 left/],
];
for (const [name, options, change, code, message] of refused) {
  test(`grant refuses ${name}, and leaves nothing behind`, async () => {
    const { client, grants } = connectBox(options);
    await assert.rejects(client.call("grant", { ...wish, ...change }), fails(code, message));
    assert.deepEqual(grants.list, []);
  });
}

test("grant lets nobody in beside a host that writes, and says who that is", async () => {
  const { client, grants } = connectBox();
  const other = `${hostnqn.slice(0, -1)}1`;
  await client.call("grant", { ...wish, purpose: "flash by ada on desk" });
  const who =
    /nvme0n1 as "r[wo]": flash by ada on desk has it as "rw" \(grant g1, until 2026-.* unless/;
  for (const mode of ["rw", "ro"] as const) {
    await assert.rejects(
      client.call("grant", { ...wish, hostnqn: other, mode }),
      fails("refused", who),
    );
  }
  const shared = { ...wish, hostnqn: other, shared: true };
  await assert.rejects(client.call("grant", shared), fails("refused", /unless both share it/));
  await client.call("grant", { ...wish, shared: true });
  await client.call("grant", { ...shared, seconds: null, purpose: "" });
  const listed = (await client.call("disks", {})).grants;
  assert.deepEqual(
    listed.map((one) => one.shared),
    [true, true],
  );
  await client.call("revoke", { grant: "g1" });
  const nameless = new RegExp(`${other} has it as "rw" \\(grant g2, until it is taken back\\)`);
  await assert.rejects(client.call("grant", wish), fails("refused", nameless));
  assert.equal(grants.list.length, 1);
});

test("a client that was killed comes again at once, as another host", async () => {
  const box = connectBox();
  const next = anotherClient(box.handlers);
  const again = { ...wish, hostnqn: `${hostnqn.slice(0, -1)}1`, untilSessionEnds: true };
  await box.client.call("grant", { ...wish, untilSessionEnds: true });
  await assert.rejects(next.call("grant", again), fails("refused", /grant g1/));
  box.session.close();
  await turn();
  box.done.splice(0);
  assert.equal((await next.call("grant", again)).grant, "g2");
  assert.deepEqual(
    box.grants.list.map(({ id }) => id),
    ["g2"],
  );
  assert.deepEqual(box.done, ["settle", "settle"], "the first is out before the second is in");
  assert.deepEqual(
    box.events.after(0).map(({ event, fields }) => [event, fields.grant]),
    [
      ["granted", "g1"],
      ["orphaned", "g1"],
      ["revoked", "g1"],
      ["granted", "g2"],
    ],
  );
});

test("grant takes what is read only, in every way that leaves it so", async () => {
  const { client } = connectBox({ readOnly: true });
  for (const mode of ["ro", "overlay"] as const) {
    const one = { ...wish, disks: [mode === "ro" ? "sdr" : "vda"], mode };
    const { disks } = await client.call("grant", one);
    assert.deepEqual([disks[0]?.port, disks[0]?.readOnly], [4421, mode === "ro"]);
  }
});

test("grant in local mode works once somebody has let hosts in", async () => {
  const { client } = connectBox({ access: "local", letIn: true });
  assert.equal((await client.call("grant", wish)).grant, "g1");
});

test("overlays share the memory that there is for them", async () => {
  const { client } = connectBox();
  await client.call("grant", { ...wish, mode: "overlay", overlayBytes: 600 });
  const next = { disks: ["vda"], mode: "overlay" as const, overlayBytes: 600 };
  await assert.rejects(client.call("grant", { ...wish, ...next }), fails("limit", /400 left/));
});

test("an overlay that is asked for again stays as it is, however much the others hold", async () => {
  const { client, grants } = connectBox();
  const one = { ...wish, mode: "overlay" as const, overlayBytes: 600 };
  await client.call("grant", one);
  await client.call("grant", { ...one, disks: ["vda"], overlayBytes: 400 });
  for (const overlayBytes of [undefined, 600, 700]) {
    const { overlayBytes: _, ...rest } = one;
    const again = overlayBytes === undefined ? rest : { ...rest, overlayBytes };
    assert.equal((await client.call("grant", again)).grant, "g1");
    assert.equal(grants.list[0]?.overlayBytes, 600, "with another size it would be another one");
  }
});

test("a disk that hangs on two cables is one: who writes to it has it alone", async () => {
  const cable = { ...nvmeFacts, name: "nvme1n1", devicePath: "/devices/pci1/nvme/nvme1/nvme1n1" };
  const { client } = connectBox({ more: [cable] });
  const other = { ...wish, hostnqn: `${hostnqn.slice(0, -1)}1`, disks: ["nvme1n1"] };
  await client.call("grant", wish);
  for (const mode of ["rw", "ro"] as const) {
    const asked = client.call("grant", { ...other, mode });
    await assert.rejects(asked, fails("refused", /Cannot grant nvme1n1 as .* has it as "rw"/));
  }
  await client.call("revoke", { grant: "g1" });
  await client.call("grant", other);
});

test("a grant that cannot be served for a moment when it is prolonged keeps its keys", async () => {
  const { client, grants, faults } = connectBox();
  const first = await client.call("grant", wish);
  faults.isBroken = true;
  await assert.rejects(client.call("grant", wish), fails("failed", /cannot open it/));
  faults.isBroken = false;
  const again = await client.call("grant", wish);
  assert.deepEqual([again.grant, again.secrets], [first.grant, first.secrets]);
  assert.equal(grants.list.length, 1);
});

test("a grant until the session ends is gone soon after, unless another session takes it over", async () => {
  const { client, session, grants, events } = connectBox();
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
  const { client, grants } = connectBox();
  const { grant } = await client.call("grant", wish);
  await client.call("revoke", { grant });
  assert.deepEqual(grants.list, []);
  await assert.rejects(client.call("revoke", { grant }), fails("no-such-grant", /g1: it was/));
});

test("unexport withdraws a disk and revokes what was granted of it; export offers it again", async () => {
  const { client, grants, choices } = connectBox();
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

test("watch tells events as they come, log those that were", async () => {
  const { client, events } = connectBox();
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
