/**
 * Who may do what with a box in access mode `paired`: strangers get nothing, a grant over SSH brings
 * keys, and what was granted ends when it is told to. The box's kernel is the one that refuses.
 */

import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeSshKey as makeHostKey } from "../src/image/index.ts";
import { connectController, discover } from "../src/initiator/index.ts";
import {
  type CallParams,
  type GrantedAccess,
  orphanGraceSeconds,
  type RpcClient,
  type RpcError,
} from "../src/rpc/index.ts";
import { makeScratchDisk, makeScratchFolder, startVm, type Vm } from "../src/vm/index.ts";
import { connectGranted, type GrantUse, replay, writeAndRead } from "./driver-access.ts";
import { build, openShell, patience, readState, stickOf } from "./driver-box.ts";
import { Control } from "./driver-control.ts";
import { Relay } from "./driver-relay.ts";
import { makeSshKey, type Ssh, type SshKey } from "./driver-ssh.ts";

const mebibyte = 1024 * 1024;
const diskBytes = 64 * mebibyte;
const hostKey = makeHostKey(randomBytes(32), "box");

const owned = new AsyncDisposableStack();
let box: Vm;
let key: SshKey;
let shell: Ssh;
let control: Control;
let rpc: RpcClient;
/** Files behind the disks, and all that went over the network. */
const paths: Record<string, string> = {};
/** Ports of this machine that lead to the box's. */
const ports = new Map<number, number>();
let hasFailed = false;

before(async () => {
  const folder = owned.use(await makeScratchFolder());
  key = owned.use(await makeSshKey());
  const { publicKey } = key;
  const options = { authorizedKeys: [publicKey], sshHostKey: hostKey.privateKey };
  await build("diskomator", folder.path, options);
  for (const name of ["nvme", "virtio", "locked"]) {
    const disk = owned.use(await makeScratchDisk(diskBytes));
    paths[name] = disk.path;
  }
  await writeFile(paths.locked!, randomBytes(diskBytes));
  paths.capture = join(folder.path, "capture.pcap");
  box = owned.use(
    await startVm({
      name: "box",
      memoryMiB: 640,
      smbios: { uuid: "5d0c6f1e-2b7a-4c93-9e48-1f6a7b3c2d10" },
      extraKernelCommandLine: "diskomator.access=paired",
      disks: [
        stickOf(folder.path, "diskomator"),
        { id: "nvme", kind: "nvme", path: paths.nvme!, serial: "ACCESS-NVME" },
        { id: "virtio", kind: "virtio-blk", path: paths.virtio!, serial: "ACCESS-VIRTIO" },
        {
          id: "locked",
          kind: "virtio-blk",
          path: paths.locked!,
          serial: "ACCESS-LOCKED",
          readOnly: true,
        },
      ],
      nics: [{ network: { kind: "user" }, pcapPath: paths.capture }],
    }),
  );
  for (const port of [4420, 4421, 8009]) ports.set(port, await box.forward(port));
  shell = await openShell(box, key);
  control = owned.use(await Control.ready(shell));
  rpc = control.client;
});

after(() => owned.disposeAsync());

/** A test whose failure, if it is the first, brings what the box has to say; its grants end with it. */
function scenario(title: string, body: (t: TestContext) => Promise<void>): void {
  test(title, async (t) => {
    try {
      await body(t);
    } catch (error) {
      if (!hasFailed && shell !== undefined) {
        const said = await shell.run("journalctl -b -o short-monotonic | tail -60");
        t.diagnostic(`${said.stdout}\n${box.serialLastLines()}`);
      }
      hasFailed = true;
      throw error;
    }
    // A disk that one host may write to is no other's.
    for (const one of (await rpc.call("disks", {})).grants) {
      await rpc.call("revoke", { grant: one.grant });
    }
  });
}

const freshHost = () => `nqn.2014-08.org.nvmexpress:uuid:${randomUUID()}`;

async function grant(change: Partial<CallParams<"grant">> = {}): Promise<GrantedAccess> {
  const wish = { hostnqn: freshHost(), disks: ["ACCESS-NVME"], mode: "rw", seconds: 600 } as const;
  return rpc.call("grant", { ...wish, disks: [...wish.disks], ...change });
}

const connect = (access: GrantedAccess, how: GrantUse = {}) => connectGranted(access, ports, how);

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** Events of the box by name, since it booted. */
async function eventsOf(name: string): Promise<readonly Record<string, unknown>[]> {
  const { events } = await rpc.call("log", {});
  return events.filter(({ event }) => event === name).map(({ fields }) => fields);
}

scenario("a stranger sees no disk, and connects to none", async () => {
  for (const port of [4420, 8009]) {
    const entries = await discover({ host: "127.0.0.1", port: ports.get(port)!, ...patience });
    const found = entries.filter(({ subject }) => subject === "subsystem");
    assert.deepEqual(found, []);
  }
  const { disks } = await readState(shell);
  const nqns = disks.flatMap(({ state }) => (state.kind === "exported" ? [state.nqn] : []));
  for (const subsystemNqn of nqns) {
    const stranger = { host: "127.0.0.1", port: ports.get(4420)!, subsystemNqn, ioQueues: 1 };
    await assert.rejects(connectController({ ...stranger, ...patience }), { code: "status" });
  }
});

scenario("the box shows its owner's SSH host key, and its name", async (t) => {
  const { name, access, tls } = await rpc.call("describe", {});
  assert.deepEqual([name, access, tls], ["cobalt-peach", "paired", true]);
  assert.equal((await shell.succeed("uname -n")).trim(), name);
  const known = join(key.privatePath, "../known");
  const sshPort = await box.forward(22);
  const line = hostKey.publicKey.split(" ").slice(0, 2).join(" ");
  await writeFile(known, `[127.0.0.1]:${sshPort} ${line}\n`);
  const strict = [`-oUserKnownHostsFile=${known}`, "-oStrictHostKeyChecking=yes"];
  const { code, stderr } = await shell.run("true", ["-oControlPath=none", ...strict]);
  assert.equal(code, 0, stderr);
  t.diagnostic(line);
});

scenario("a grant lets its host in by DH-HMAC-CHAP, both ways", async () => {
  const access = await grant();
  await using controller = await connect(access);
  await using disk = await controller.openNamespace(1);
  const data = await writeAndRead(disk, mebibyte);
  const capture = await readFile(paths.capture!);
  assert.ok(
    capture.includes(data.subarray(0, 1024)),
    "in the clear, as a control of the next test",
  );
});

scenario("a grant lets its host in by TLS, and nobody on the way reads along", async () => {
  const access = await grant();
  await using controller = await connect(access, { tls: true });
  await using disk = await controller.openNamespace(1);
  const data = await writeAndRead(disk, 2 * mebibyte);
  const capture = await readFile(paths.capture!);
  for (let at = 0; at < data.length; at += 64 * 1024) {
    assert.ok(!capture.includes(data.subarray(at, at + 32)));
  }
  const image = await readFile(paths.nvme!);
  assert.ok(image.subarray(2 * mebibyte, 2 * mebibyte + data.length).equals(data));
});

scenario("wrong keys, another host's name and a stranger's are refused", async () => {
  const [access, other] = [await grant(), await grant({ disks: ["ACCESS-VIRTIO"] })];
  const wrong = other.secrets.host;
  await assert.rejects(connect(access, { secret: wrong }), { code: "authentication-failed" });
  await assert.rejects(connect(access, { controllerSecret: wrong }), {
    code: "authentication-failed",
  });
  await assert.rejects(connect(access, { hostNqn: other.hostnqn }), { code: "status" });
  await assert.rejects(connect(access, { hostNqn: freshHost() }), { code: "status" });
  await assert.rejects(connect(access, { tls: true, secret: wrong }), {
    code: "authentication-failed",
  });
  const told = async () => (await eventsOf("kernel")).map(({ text }) => String(text)).join("\n");
  const psk = { ...access, tlsPsk: other.tlsPsk };
  await assert.rejects(connect(psk, { tls: true }));
  while (!/Handshake with .* failed/.test(await told())) await sleep(500);
  while (!/host response mismatch/.test(await told())) await sleep(500);
  assert.match(await told(), new RegExp(`host ${other.hostnqn} for subsystem \\S+ not allowed`));
});

scenario(
  "what a host said, and the keys of a grant that is over, are worth nothing again",
  async () => {
    const refusals = async () => (await eventsOf("kernel")).map(({ text }) => String(text));
    const mismatches = async () =>
      (await refusals()).filter((text) => text.includes("host response mismatch")).length;
    const hostnqn = freshHost();
    const access = await grant({ hostnqn });
    const said: Uint8Array[] = [];
    {
      await using relay = await Relay.to(ports.get(4420)!, { intoMachine: true });
      relay.onHostBytes = (n, bytes) => {
        if (n === 0) said.push(Buffer.from(bytes));
      };
      await using controller = await connect(access, { port: relay.port });
      await using disk = await controller.openNamespace(1);
      await disk.read(0, Buffer.alloc(4096));
    }
    const before = await mismatches();
    const answers = await replay(ports.get(4420)!, said);
    // Who the controller is takes 4096 bytes: nothing of the kind is told.
    assert.ok(answers.length > 128 && answers.length < 4096, `${answers.length} bytes`);
    while ((await mismatches()) === before) await sleep(500);

    await rpc.call("revoke", { grant: access.grant });
    await assert.rejects(connect(access), { code: "status" });
    const gone = `invalid subsystem ${access.disks[0]?.nqn}`;
    while (!(await refusals()).some((text) => text.includes(gone))) await sleep(500);
    const again = await grant({ hostnqn });
    assert.equal(again.disks[0]?.nqn, access.disks[0]?.nqn);
    await assert.rejects(connect(access), { code: "authentication-failed" });
    await assert.rejects(connect(access, { tls: true }));
    await (await connect(again)).close();
    await rpc.call("revoke", { grant: again.grant });
  },
);

scenario("a grant taken back under load ends its host at once, and no other", async () => {
  const [one, other] = [await grant({ shared: true }), await grant({ shared: true })];
  await using gone = await connect(one);
  await using stays = await connect(other);
  await using lost = await gone.openNamespace(1);
  await using disk = await stays.openNamespace(1);
  let rounds = 0;
  const load = (async () => {
    for (;;) {
      await writeAndRead(lost, 8 * mebibyte);
      rounds += 1;
    }
  })();
  load.catch(() => {});
  while (rounds < 2) await sleep(50);
  await rpc.call("revoke", { grant: one.grant });
  await assert.rejects(load);
  for (let round = 0; round < 3; round++) await writeAndRead(disk, 16 * mebibyte);
  await assert.rejects(connect(one), "its keys are worth nothing any more");
  await assert.rejects(rpc.call("revoke", { grant: one.grant }), { code: "no-such-grant" });
});

scenario("a grant ends by itself when its time is up", async () => {
  const access = await grant({ seconds: 30 });
  await using controller = await connect(access);
  await using disk = await controller.openNamespace(1);
  await writeAndRead(disk, 0);
  const reading = (async () => {
    const block = Buffer.alloc(4096);
    for (;;) {
      await disk.read(0, block);
      await sleep(100);
    }
  })();
  await assert.rejects(reading);
  // The disk goes first; who comes between that and the rest finds none, and has to go, too.
  const comeAgain = async () => {
    for (let n = 0; n < 50; n++) await (await connect(access)).close().catch(() => {});
  };
  await assert.rejects(comeAgain());
  assert.ok((await eventsOf("expired")).some((fields) => fields.grant === access.grant));
});

scenario("a grant until the session ends goes when the client is killed", async () => {
  const ask = async ({ client }: Control, disk: string): Promise<GrantedAccess> => {
    const wish = { hostnqn, disks: [disk], mode: "rw", seconds: null } as const;
    return await client.call("grant", { ...wish, disks: [disk], untilSessionEnds: true });
  };
  const hostnqn = freshHost();
  const session = Control.open(shell);
  const access = await ask(session, "ACCESS-NVME");
  const other = await ask(session, "ACCESS-VIRTIO");
  await (await connect(access)).close();
  await using heir = Control.open(shell);
  assert.equal((await ask(heir, "ACCESS-VIRTIO")).grant, other.grant);
  await session.kill();
  const nqn = access.disks[0]?.nqn;
  while (!(await eventsOf("removed")).some(({ subject }) => subject === nqn)) await sleep(500);
  assert.ok((await eventsOf("expired")).some((fields) => fields.grant === access.grant));
  const [told] = (await eventsOf("orphaned")).filter(({ grant: id }) => id === access.grant);
  assert.equal(told?.seconds, orphanGraceSeconds);
  await assert.rejects(connect(access));
  await (await connect(other)).close();
  await heir.client.call("revoke", { grant: other.grant });
});

scenario("a disk to write to is one host's alone, until that host's client is killed", async () => {
  const session = Control.open(shell);
  const wish = { hostnqn: freshHost(), disks: ["ACCESS-NVME"], mode: "rw", seconds: 600 } as const;
  const held = { ...wish, disks: [...wish.disks], untilSessionEnds: true, purpose: "a flash" };
  const access = await session.client.call("grant", held);
  await using controller = await connect(access);
  await using disk = await controller.openNamespace(1);
  await writeAndRead(disk, 0);
  for (const change of [{}, { shared: true }, { mode: "ro" }] as const) {
    const why = { code: "refused", message: /nvme0n1.*a flash has it as "rw"/ };
    await assert.rejects(grant(change), why);
  }
  await session.kill();
  const tryAgain = (error: RpcError) => {
    if (error.code !== "refused") throw error;
    return null;
  };
  let heir: GrantedAccess | null = null;
  while (heir === null) heir = await grant().catch(tryAgain);
  const told = async (name: string) =>
    (await eventsOf(name)).some((fields) => fields.grant === access.grant);
  assert.deepEqual([await told("revoked"), await told("expired")], [true, false]);
  await assert.rejects(writeAndRead(disk, 0));
  await assert.rejects(connect(access));
  await using next = await connect(heir);
  await using same = await next.openNamespace(1);
  await writeAndRead(same, 0);
});

scenario("grants and connections outlive the daemon", async () => {
  const access = await grant();
  await using controller = await connect(access, { tls: true });
  await using disk = await controller.openNamespace(1);
  await shell.succeed("systemctl restart diskomator");
  await writeAndRead(disk, 4 * mebibyte);
  await control[Symbol.asyncDispose]();
  control = owned.use(await Control.ready(shell));
  rpc = control.client;
  const { grants } = await rpc.call("disks", {});
  assert.ok(grants.some((one) => one.grant === access.grant));
  await (await connect(access, { tls: true })).close();
  await rpc.call("revoke", { grant: access.grant });
  await assert.rejects(writeAndRead(disk, 4 * mebibyte));
});

scenario("a disk that takes no writes is served so, and stays as it is", async () => {
  const before = sha256(await readFile(paths.locked!));
  await assert.rejects(grant({ disks: ["ACCESS-LOCKED"] }), { code: "read-only" });
  for (const tls of [false, true]) {
    const access = await grant({ disks: ["ACCESS-LOCKED"], mode: "ro" });
    await using controller = await connect(access, { tls });
    await using disk = await controller.openNamespace(1);
    assert.equal(disk.readOnly, true);
    const found = Buffer.alloc(diskBytes);
    for (let at = 0; at < diskBytes; at += mebibyte) {
      await disk.read(at, found.subarray(at, at + mebibyte));
    }
    assert.equal(sha256(found), before);
    await assert.rejects(disk.write(0, Buffer.alloc(4096)), { code: "read-only" });
    await rpc.call("revoke", { grant: access.grant });
  }
  assert.equal(sha256(await readFile(paths.locked!)), before);
});

scenario("an overlay keeps a host's writes from the disk, up to its limit", async () => {
  const before = sha256(await readFile(paths.virtio!));
  const overlayBytes = 4 * mebibyte;
  const access = await grant({ disks: ["ACCESS-VIRTIO"], mode: "overlay", overlayBytes });
  await using controller = await connect(access);
  await using disk = await controller.openNamespace(1);
  await writeAndRead(disk, 0);
  await assert.rejects(async () => {
    for (let at = 0; at < 8 * mebibyte; at += mebibyte) await disk.write(at, randomBytes(mebibyte));
  });
  const { grants } = await rpc.call("disks", {});
  const { overlay } = grants.find((one) => one.grant === access.grant) ?? {};
  assert.equal(overlay?.maxBytes, overlayBytes);
  assert.ok(overlay.usedBytes > 0 && overlay.usedBytes <= overlayBytes);
  await rpc.call("revoke", { grant: access.grant });
  assert.equal(sha256(await readFile(paths.virtio!)), before);
});

scenario(
  "hash reads what hosts have written, not what was there when it was asked before",
  async () => {
    const unitBytes = mebibyte;
    const ranges = [{ offsetBytes: 0, lengthBytes: 4 * unitBytes }];
    const ask = async () => {
      const digests: string[] = [];
      await rpc.stream("hash", { disk: "ACCESS-VIRTIO", ranges, unitBytes }, (item) => {
        const hex = Buffer.from(item.digests, "base64").toString("hex");
        digests.push(...(hex.match(/.{64}/g) ?? []));
      });
      return digests;
    };
    const zeros = "0".repeat(64);
    assert.deepEqual(await ask(), [zeros, zeros, zeros, zeros]);
    const access = await grant({ disks: ["ACCESS-VIRTIO"] });
    const data = randomBytes(unitBytes);
    {
      await using controller = await connect(access);
      await using disk = await controller.openNamespace(1);
      await disk.write(2 * unitBytes, data);
      await disk.flush();
    }
    assert.deepEqual(await ask(), [zeros, zeros, sha256(data), zeros]);
  },
);

scenario("disks tells what is on them, who is there, and what flows", async () => {
  const access = await grant({ disks: ["ACCESS-VIRTIO"], purpose: "a test" });
  await using controller = await connect(access);
  await using disk = await controller.openNamespace(1);
  await writeAndRead(disk, 0);
  const { disks, grants, peers } = await rpc.call("disks", { contents: true, health: true });
  const healths = new Map(disks.map(({ serial, health }) => [serial, health]));
  assert.equal(healths.get("ACCESS-NVME")?.failing, false);
  assert.equal(healths.get("ACCESS-VIRTIO"), null, "a virtio disk knows nothing of it");
  const found = disks.find(({ serial }) => serial === "ACCESS-VIRTIO");
  assert.equal(found?.contents?.line, "unknown data");
  assert.ok((found?.traffic?.writtenBytes ?? 0) >= 256 * 1024);
  assert.ok(grants.some(({ purpose }) => purpose === "a test"));
  assert.ok(peers.some(({ port, connections }) => port === 4420 && connections >= 2));
});

scenario("who asks again makes the box read no disk, unless one was written to", async () => {
  /** Of every disk, how often it was read once `disks` has answered. */
  const reads = async (): Promise<readonly string[]> => {
    // A look that takes too long finds nothing, and is no look.
    for (let isSeen = false; !isSeen; ) {
      const { disks } = await rpc.call("disks", { contents: true });
      isSeen = disks.every(({ contents }) => contents !== null);
    }
    const stats = await shell.succeed("cat /sys/block/*/stat");
    return stats.split("\n").map((line) => line.trim().split(/\s+/)[0] ?? "");
  };
  const before = await reads();
  for (let n = 0; n < 3; n++) assert.deepEqual(await reads(), before);
  const access = await grant({ disks: ["ACCESS-VIRTIO"] });
  {
    await using controller = await connect(access);
    await using disk = await controller.openNamespace(1);
    await disk.write(0, randomBytes(4096));
    await disk.flush();
  }
  assert.notDeepEqual(await reads(), before);
});

scenario("the box listens where it says, and nowhere else", async () => {
  const doors = new Set<string>();
  for (const line of (await shell.succeed("ss -Hlntu")).trim().split("\n")) {
    const [protocol, , , , local = ""] = line.split(/\s+/);
    if (/^(?:127\.|\[::1\])/.test(local)) continue;
    doors.add(`${protocol} ${local.slice(local.lastIndexOf(":") + 1)}`);
  }
  // Ports 68 and 546 are the DHCP clients'. The locked disk is what 4421 is there for.
  for (const client of ["udp 68", "udp 546"]) doors.delete(client);
  const wanted = ["tcp 22", "tcp 4420", "tcp 4421", "tcp 8009", "udp 5353"];
  assert.deepEqual([...doors].sort(), wanted);
});

const restMs = 15_000;
// At rest all of it is under 80 MiB: box.test.ts. What it maps of the root is in memory anyway.
scenario(
  "the daemon takes less than 48 MiB besides files of the root, after all that",
  async (t) => {
    // V8 keeps the memory of threads that have ended for some seconds.
    await sleep(restMs);
    const status = await shell.succeed("cat /proc/$(systemctl show -P MainPID diskomator)/status");
    const [all, own] = ["VmRSS", "RssAnon"].map((name) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]),
    );
    t.diagnostic(
      `resident: ${Math.round(all! / 1024)} MiB, its own: ${Math.round(own! / 1024)} MiB`,
    );
    assert.ok(own! < 48 * 1024, `${own} KiB`);
  },
);
