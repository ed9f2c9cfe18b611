/** The box's second target, for read-only disks and overlays, as hosts reach it. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type SoftExport, SoftTarget, type SoftTargetOptions } from "../src/appliance/index.ts";
import { FileDisk } from "../src/block/index.ts";
import { connectController, discover } from "../src/initiator/index.ts";
import { ConfiguredPsk, DhchapSecret } from "../src/nvme/index.ts";
import { freePort } from "./driver-port.ts";

const sizeBytes = 512 * 1024;
const overlayBytes = 256 * 1024;
const nqn = "nqn.2026-11.org.example:a";
const hostNqn = "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";
const otherHost = "nqn.2014-08.org.nvmexpress:uuid:7d1f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a91";

const secretsOf = (byte: number) => {
  const bytes = new Uint8Array(32).fill(byte);
  const host = new DhchapSecret(bytes, "sha256").reveal();
  return { host, controller: host, tlsPsk: new ConfiguredPsk(bytes, "sha256").reveal() };
};
const secrets = secretsOf(1);

function wish(change: Partial<SoftExport> = {}): SoftExport {
  return {
    nqn,
    disk: "sda",
    diskSequence: 1,
    sizeBytes,
    mode: "ro",
    overlayBytes: null,
    strings: { attr_serial: "S1", attr_model: "Model", attr_firmware: "1" },
    uuid: "5b6b1f0a-4f1c-4d5e-8a77-0d3a1c2b9e10",
    nguid: "5b6b1f0a-4f1c-4d5e-8a77-0d3a1c2b9e11",
    hosts: new Map([[hostNqn, secrets]]),
    ...change,
  };
}

interface Machine {
  readonly target: SoftTarget;
  readonly port: number;
  readonly path: string;
  readonly logged: readonly string[];
}

async function withTarget(
  scenario: (machine: Machine) => Promise<void>,
  more: Pick<SoftTargetOptions, "openDisk"> = {},
): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "diskomator-soft-"));
  const path = join(root, "dev/sda");
  const port = await freePort();
  const logged: string[] = [];
  const log = (event: string) => void logged.push(event);
  const target = new SoftTarget({ root, ipv6: false, log, port, ...more });
  try {
    await mkdir(join(root, "dev"));
    await writeFile(path, randomBytes(sizeBytes));
    await scenario({ target, port, path, logged });
  } finally {
    await target.close();
    await rm(root, { recursive: true });
  }
}

function connect(port: number, how: { tls?: boolean; hostNqn?: string; secret?: string } = {}) {
  const { secret = secrets.host } = how;
  return connectController({
    host: "127.0.0.1",
    port,
    subsystemNqn: nqn,
    hostNqn: how.hostNqn ?? hostNqn,
    ioQueues: 1,
    authentication: { secret, controllerSecret: secret },
    ...(how.tls ? { tls: { key: secrets.tlsPsk } } : {}),
    reconnect: { controllerLossMs: 1 },
  });
}

const hashOf = async (path: string) =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

test("SoftTarget serves a disk for reading, with a key and by TLS, and refuses writes", () =>
  withTarget(async ({ target, port, path }) => {
    const before = await hashOf(path);
    assert.deepEqual([...(await target.settle([wish()]))], []);
    for (const tls of [false, true]) {
      await using controller = await connect(port, { tls });
      await using disk = await controller.openNamespace(1);
      assert.equal(disk.readOnly, true);
      const found = Buffer.alloc(sizeBytes);
      await disk.read(0, found);
      assert.equal(createHash("sha256").update(found).digest("hex"), before);
      await assert.rejects(disk.write(0, Buffer.alloc(512)), { code: "read-only" });
    }
    assert.equal(await hashOf(path), before);
  }));

test("SoftTarget looks past the page cache at each grant: the kernel's target writes past it", () => {
  const opened: string[] = [];
  const openDisk = async (path: string) => {
    opened.push(path);
    return await FileDisk.open(path, { readOnly: true });
  };
  return withTarget(
    async ({ target, path }) => {
      for (const wishes of [[wish()], [wish()], [], [wish()]]) await target.settle(wishes);
      assert.deepEqual(opened, [path, path]);
    },
    { openDisk },
  );
});

test("SoftTarget lets in nobody else, and shows nobody else what there is", () =>
  withTarget(async ({ target, port, logged }) => {
    await target.settle([wish()]);
    const wrong = secretsOf(2).host;
    await assert.rejects(connect(port, { secret: wrong }), { code: "authentication-failed" });
    await assert.rejects(connect(port, { hostNqn: otherHost }), { code: "status" });
    const entries = await discover({ host: "127.0.0.1", port, hostNqn: otherHost });
    assert.deepEqual(
      entries.filter(({ subject }) => subject === "subsystem"),
      [],
    );
    assert.ok(logged.includes("host-refused"));
  }));

test("SoftTarget keeps an overlay's writes in memory, up to its limit", () =>
  withTarget(async ({ target, port, path }) => {
    const before = await hashOf(path);
    await target.settle([wish({ mode: "overlay", overlayBytes })]);
    await using controller = await connect(port);
    await using disk = await controller.openNamespace(1);
    const data = randomBytes(128 * 1024);
    await disk.write(64 * 1024, data);
    const found = Buffer.alloc(data.length);
    await disk.read(64 * 1024, found);
    assert.ok(found.equals(data));
    assert.deepEqual(target.overlayUse(nqn), { usedBytes: 128 * 1024, maxBytes: 256 * 1024 });
    await assert.rejects(disk.write(192 * 1024, randomBytes(256 * 1024)), /capacity|space/i);
    assert.equal(await hashOf(path), before);
  }));

test("SoftTarget ends a host whose export has gone, and its port with the last one", () =>
  withTarget(async ({ target, port }) => {
    const other = wish({ nqn: `${nqn}b`, strings: { ...wish().strings, attr_serial: "S2" } });
    await target.settle([wish(), other]);
    const controller = await connect(port);
    const disk = await controller.openNamespace(1);
    await target.settle([other]);
    await assert.rejects(disk.read(0, Buffer.alloc(512)));
    assert.deepEqual([...target.served], [other.nqn]);
    await target.settle([]);
    await assert.rejects(connect(port), { code: "connect-refused" });
    await controller.close();
  }));

test("SoftTarget leaves connected hosts alone when others come", () =>
  withTarget(async ({ target, port, path, logged }) => {
    await target.settle([wish()]);
    await using controller = await connect(port, { tls: true });
    await using disk = await controller.openNamespace(1);
    const other = { nqn: `${nqn}b`, hosts: new Map([[otherHost, secretsOf(3)]]) };
    const strings = { ...wish().strings, attr_serial: "S2" };
    await target.settle([wish(), wish({ ...other, strings })]);
    const found = Buffer.alloc(sizeBytes);
    await disk.read(0, found);
    assert.equal(createHash("sha256").update(found).digest("hex"), await hashOf(path));
    assert.deepEqual(logged, ["host-connected"], "it was the same connection");
    await (await connect(port, { tls: true })).close();
    assert.deepEqual(logged, ["host-connected", "host-connected"]);
  }));

test("SoftTarget says what it cannot serve, and serves the rest", () =>
  withTarget(async ({ target, port }) => {
    const strings = { ...wish().strings, attr_serial: "S2" };
    const missing = wish({ nqn: `${nqn}b`, disk: "sdz", strings });
    const changed = wish({ nqn: `${nqn}c`, sizeBytes: sizeBytes * 2, strings });
    const failures = await target.settle([wish(), missing, changed]);
    assert.match(failures.get(missing.nqn) ?? "", /sdz/);
    assert.match(failures.get(changed.nqn) ?? "", /another size/);
    await (await connect(port)).close();
  }));
