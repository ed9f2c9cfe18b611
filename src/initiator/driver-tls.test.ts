import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  createServer,
  getCACertificates,
  setDefaultCACertificates,
  type TlsOptions,
} from "node:tls";
import { ConfiguredPsk, type TlsPsk } from "../nvme/index.ts";
import { connectController, InitiatorError } from "./index.ts";
import { FakeTarget } from "./testing/fake-target.ts";
import { pattern, subsystemNqn } from "./testing/open.ts";

const hostNqn = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-000000000001";
const parties = { hostnqn: hostNqn, subnqn: subsystemNqn };
const configured = new ConfiguredPsk(new Uint8Array(32).fill(7), "sha256");
const key = configured.reveal();

/** A fake target behind TLS that knows one identity. */
async function listen(known: TlsPsk | undefined, options: TlsOptions = {}) {
  const target = new FakeTarget();
  const asked: string[] = [];
  const psk: TlsOptions = {
    minVersion: "TLSv1.3",
    ciphers: "TLS_AES_128_GCM_SHA256",
    pskCallback: (_socket, identity) => {
      asked.push(identity);
      return identity === known?.identity ? known.key : null;
    },
  };
  const server = createServer({ ...psk, ...options }, (socket) => {
    const far = target.accept({
      send: (chunk) => void socket.write(chunk),
      cut: () => void socket.destroy(),
    });
    socket.on("data", (chunk) => far.receive(chunk));
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    target,
    asked,
    address: { host: "127.0.0.1", port, subsystemNqn, hostNqn },
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

test("connectController goes by TLS with the key of either identity version", async () => {
  for (const version of [0, 1] as const) {
    await using server = await listen(configured.retain(hostNqn).tlsPsk(parties, version));
    {
      await using controller = await connectController({
        ...server.address,
        tls: { key },
        ioQueues: 2,
      });
      await using disk = await controller.openNamespace(1);
      const data = pattern(300_032 - (300_032 % 512));
      await disk.write(512, data);
      const back = new Uint8Array(data.length);
      await disk.read(512, back);
      assert.deepEqual(back, data);
    }
    // The version that the target knows is found out once.
    const versions = server.asked.map((identity) => identity.slice(0, 8));
    const wanted = version === 1 ? ["1", "1", "1"] : ["1", "0", "0", "0"];
    assert.deepEqual(
      versions,
      wanted.map((digit) => `NVMe${digit}R01`),
    );
  }
});

test("connectController derives its key as nvme-cli did before 2.16, where that is asked for", async () => {
  const derivation = "early-libnvme";
  const known = configured.retain(hostNqn, derivation).tlsPsk(parties, 1);
  await using server = await listen(known);
  await assert.rejects(connectController({ ...server.address, tls: { key } }), {
    code: "authentication-failed",
  });
  server.asked.length = 0;
  await using controller = await connectController({
    ...server.address,
    tls: { key, derivation },
    ioQueues: 1,
  });
  assert.equal(controller.ioQueues, 1);
  assert.deepEqual(server.asked, [known.identity, known.identity]);
});

test("a controller that does not know the key is refused, a trusted certificate notwithstanding", async () => {
  const folder = mkdtempSync(join(tmpdir(), "diskomator-tls-"));
  const file = (name: string) => join(folder, name);
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const out = ["-keyout", file("key.pem"), "-out", file("cert.pem"), "-days", "1"];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...out, ...subject], {
    stdio: "ignore",
  });
  const cert = readFileSync(file("cert.pem"), "utf8");
  const before = getCACertificates("default");
  setDefaultCACertificates([cert]);
  const withCertificate = { cert, key: readFileSync(file("key.pem")) };
  for (const options of [{}, withCertificate, { ...withCertificate, pskCallback: () => null }]) {
    await using server = await listen(undefined, options);
    const connecting = connectController({ ...server.address, tls: { key } });
    await assert.rejects(connecting, (error) => {
      assert.ok(error instanceof InitiatorError);
      assert.equal(error.code, "authentication-failed");
      assert.equal(error.facts.endedBy, undefined);
      assert.match(error.message, /Check that both ends have the same key/);
      assert.ok(!error.message.includes(key));
      return true;
    });
    assert.equal(server.target.queues.length, 0);
  }
  setDefaultCACertificates(before);
  rmSync(folder, { recursive: true });
});

test("a target without TLS is told apart, and a key for SHA-384 is refused before dialling", async () => {
  await using server = await listen(undefined);
  const plain = connectController({ ...server.address, connectTimeoutMs: 1000 });
  await assert.rejects(plain, { name: "InitiatorError" });
  const long = new ConfiguredPsk(new Uint8Array(48).fill(7), "sha384").reveal();
  const refused = connectController({ ...server.address, tls: { key: long } });
  await assert.rejects(refused, { code: "unsupported", message: /32 bytes/ });
  const wrong = connectController({ ...server.address, tls: { key: `${key}x` } });
  await assert.rejects(wrong, { code: "unsupported", message: /its key is none/ });
  assert.deepEqual(server.asked, []);
});

/** Passes connections on to `port`, and cuts as many handshakes as `cuts` says. */
async function forwardTo(port: number) {
  const sockets = new Set<Socket>();
  const state = { cuts: 0, cut: (socket: Socket) => void socket.destroy() };
  const server = createTcpServer((near) => {
    if (state.cuts > 0) {
      state.cuts -= 1;
      near.once("data", () => state.cut(near)).on("error", () => {});
      return;
    }
    const far = connect({ host: "127.0.0.1", port });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    near.pipe(far).pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(state, {
    port: (server.address() as AddressInfo).port,
    breakAll: () => sockets.forEach((socket) => void socket.destroy()),
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  });
}

const cuts = [
  ["closed", (socket: Socket) => void socket.destroy()],
  ["reset", (socket: Socket) => void socket.resetAndDestroy()],
] as const;

for (const [how, cut] of cuts) {
  // An odd number: the identity that the target knows is cut off, and the other one is refused.
  for (const count of [3, 4]) {
    test(`a host reconnects by TLS although ${count} handshakes are ${how}`, async () => {
      await using server = await listen(configured.retain(hostNqn).tlsPsk(parties, 1));
      await using front = await forwardTo(server.address.port);
      const options = { ...server.address, port: front.port, tls: { key } };
      const reconnect = { firstDelayMs: 10, delayMsMax: 10 };
      await using controller = await connectController({ ...options, reconnect });
      await using disk = await controller.openNamespace(1);
      Object.assign(front, { cuts: count, cut });
      front.breakAll();
      await disk.read(0, new Uint8Array(512));
      assert.equal(front.cuts, 0);
    });
  }
}

test("a host that lost its key is refused for good when it reconnects", async () => {
  const known = configured.retain(hostNqn).tlsPsk(parties, 1);
  const valid = { isOn: true };
  const pskCallback: TlsOptions["pskCallback"] = (_socket, identity) =>
    valid.isOn && identity === known.identity ? known.key : null;
  await using server = await listen(known, { pskCallback });
  await using front = await forwardTo(server.address.port);
  const options = { ...server.address, port: front.port, tls: { key } };
  const reconnect = { firstDelayMs: 10, delayMsMax: 10 };
  await using controller = await connectController({ ...options, reconnect });
  await using disk = await controller.openNamespace(1);
  valid.isOn = false;
  front.breakAll();
  const reading = disk.read(0, new Uint8Array(512));
  await assert.rejects(reading, { code: "gone", message: /refused for good/ });
});
