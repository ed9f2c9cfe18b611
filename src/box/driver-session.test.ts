/** Sessions over a process in ssh's place: what a box answers, and what ssh complains of. */

import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { type CallParams, RpcError, rpcVersion } from "../rpc/index.ts";
import { sampleDescription } from "../rpc/testing/handlers.ts";
import { LastingChannel } from "./driver-channel.ts";
import { openSession, type ReachOptions } from "./driver-session.ts";
import { BoxError, type BoxErrorCode } from "./error.ts";
import type { Place } from "./place.ts";
import { serveFakeBox } from "./testing/fake-box.ts";
import { sampleDisk } from "./testing/samples.ts";

const fakeSsh = join(import.meta.dirname, "testing/fake-ssh.ts");
const home = { identities: [], knownHosts: ["known_hosts"], imageKeys: [] };
const reach: ReachOptions = { home, program: [process.execPath, fakeSsh] };
const saying = (text: string): ReachOptions => ({
  home,
  program: [process.execPath, fakeSsh, "--says", text],
});

function at(port: number, changes: Partial<Place> = {}): Place {
  return {
    name: "lunch-feta",
    addresses: ["127.0.0.1"],
    sshPort: port,
    ports: new Map(),
    from: "known",
    sighting: null,
    ...changes,
  };
}

const fails = (code: BoxErrorCode, message: RegExp) => (error: unknown) =>
  error instanceof BoxError && error.code === code && message.test(error.message);

test("openSession asks the box who it is, and calls go to it", async () => {
  await using box = await serveFakeBox({ disks: [sampleDisk({ name: "sda", serial: "S1" })] });
  await using session = await openSession(at(box.port), reach);
  assert.equal(session.description.name, "lunch-feta");
  assert.equal(session.address, "127.0.0.1");
  const { disks } = await session.call("disks", {});
  assert.deepEqual(
    disks.map(({ name }) => name),
    ["sda"],
  );
  await assert.rejects(session.call("unexport", { disk: "sdz" }), { code: "no-such-disk" });
});

test("openSession takes the address that answers", async () => {
  await using box = await serveFakeBox({ disks: [] });
  // 192.0.2.0/24 is for documents (RFC 5737): nothing is there.
  const place = at(box.port, { addresses: ["192.0.2.1", "127.0.0.1"] });
  await using session = await openSession(place, reach);
  assert.equal(session.address, "127.0.0.1");
});

test("openSession says that nothing listens", async () => {
  const server = createServer();
  const port = await listen(server);
  server.close();
  const message = new RegExp(`Cannot reach lunch-feta: 127.0.0.1 port ${port}: refused`);
  await assert.rejects(openSession(at(port), reach), fails("unreachable", message));
});

test("openSession refuses a box of another version and says which side is older", async () => {
  const describe = async () => sampleDescription({ rpc: rpcVersion + 1 });
  await using box = await serveFakeBox({ disks: [], handlers: { describe } });
  await assert.rejects(openSession(at(box.port), reach), fails("version", /this program is the/));
});

const complaints: readonly [string, BoxErrorCode][] = [
  ["WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!", "host-key"],
  ["root@127.0.0.1: Permission denied (publickey).", "not-ours"],
  ["subsystem request failed on channel 0", "no-channel"],
];
for (const [text, code] of complaints) {
  test(`openSession gives ${code} for: ${text}`, async () => {
    await using box = await serveFakeBox({ disks: [] });
    await assert.rejects(openSession(at(box.port), saying(text)), fails(code, /lunch-feta/));
  });
}

test("openSession says that ssh is not there", async () => {
  await using box = await serveFakeBox({ disks: [] });
  const options: ReachOptions = { home, program: ["no-such-program-as-this"] };
  await assert.rejects(openSession(at(box.port), options), fails("no-ssh", /not installed/));
});

test("openSession gives up on a box that accepts and says nothing", async () => {
  await using silent = await listenOnly();
  const options = { ...reach, timeoutMs: 1000 };
  await assert.rejects(
    openSession(at(silent.port), options),
    fails("timeout", /accepts connections but did not answer/),
  );
});

test("openSession stops with its signal's reason", async () => {
  await using silent = await listenOnly();
  const stop = new AbortController();
  const opening = openSession(at(silent.port), { ...reach, signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(opening, /enough/);
});

test("BoxSession.call says that the connection ended, and so does `ended`", async () => {
  await using box = await serveFakeBox({
    disks: [],
    handlers: { log: () => new Promise<never>(() => {}) },
  });
  await using session = await openSession(at(box.port), reach);
  const call = session.call("log", {});
  await box.cut();
  await assert.rejects(call, fails("unreachable", /connection to lunch-feta .* ended/));
  await assert.rejects(session.ended, BoxError);
});

test("LastingChannel opens a new session when the last one has ended", async () => {
  await using box = await serveFakeBox({ disks: [sampleDisk({ name: "sda", serial: "S1" })] });
  await using channel = new LastingChannel(await openSession(at(box.port), reach), reach);
  const asked: CallParams<"grant"> = {
    hostnqn: "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90",
    disks: ["sda"],
    mode: "rw",
    seconds: 60,
  };
  const { grant } = await channel.grant(asked, {});
  await box.cut();
  await assert.rejects(channel.grant(asked, {}), BoxError);
  assert.equal((await channel.grant(asked, {})).grant, grant);
  await channel.revoke({ grant }, {});
  await assert.rejects(channel.revoke({ grant }, {}), RpcError);
  assert.equal(box.sessions, 2);
});

test("openSession gives up on a box that talks nonsense", async () => {
  await using liar = await listenOnly((socket) => socket.write("hello\n"));
  await assert.rejects(openSession(at(liar.port), reach), { code: "protocol" });
});

async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}

/** Accepts connections, and does no more than it is told. */
async function listenOnly(onSocket: (socket: Socket) => void = () => {}) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onSocket(socket);
  });
  const port = await listen(server);
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
