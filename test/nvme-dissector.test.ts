/** What our host and our target say to each other, as tshark's dissector of NVMe/TCP reads it. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { faultyDisk, MemoryDisk } from "../src/block/index.ts";
import { type ControllerOptions, connectController, discover } from "../src/initiator/index.ts";
import {
  command,
  DhchapSecret,
  initialFraming,
  type PduName,
  PduStream,
  pduType,
  type Role,
} from "../src/nvme/index.ts";
import { createTarget, type HostAccess } from "../src/target/index.ts";
import {
  dissect,
  encodeCapture,
  findFaults,
  hasTshark,
  type Piece,
  Recorder,
} from "./driver-capture.ts";

const subsystemNqn = "nqn.2026-11.org.example:disk";
const hostNqn = "nqn.2026-11.org.example:host";
const uuid = "12345678-1234-4234-8234-123456789abc";
const host = "127.0.0.1";

const folder = await mkdtemp(join(tmpdir(), "diskomator-capture-"));
after(() => rm(folder, { recursive: true }));

/** A test that needs tshark. */
function testCapture(title: string, body: () => Promise<void>): void {
  test(title, async (t: TestContext) => {
    if (await hasTshark()) return body();
    assert.ok(!process.env.CI, "tshark is not installed (Debian package tshark)");
    t.skip("needs tshark (Debian package tshark)");
  });
}

/** A target whose hosts come through a recorder. */
async function record(hosts: "any" | ReadonlyMap<string, HostAccess> = "any") {
  const device = faultyDisk(new MemoryDisk({ sizeBytes: 8 * 2 ** 20 }));
  const running = createTarget({
    subsystems: [{ nqn: subsystemNqn, serial: "42", hosts, namespaces: [{ device, uuid }] }],
  });
  const { port } = await running.listen({ port: 0 });
  const recorder = await Recorder.of(port);
  return {
    device,
    running,
    recorder,
    connect: (options: Partial<ControllerOptions> = {}) =>
      connectController({ host, port: recorder.port, subsystemNqn, hostNqn, ...options }),
    async [Symbol.asyncDispose]() {
      await recorder[Symbol.asyncDispose]();
      await running.close();
    },
  };
}

let captures = 0;

async function save(pieces: readonly Piece[]): Promise<string> {
  const path = join(folder, `${captures++}.pcap`);
  await writeFile(path, encodeCapture(pieces));
  return path;
}

/** Types of all PDUs, by the connection's port and the direction, as our own decoder reads them. */
function typesOf(pieces: readonly Piece[]): Map<string, number[]> {
  const types = new Map<string, number[]>();
  const streams = new Map<string, PduStream>();
  const digests = new Map<number, { hdgst: boolean; ddgst: boolean }>();
  for (const { connection, isFromHost, bytes } of pieces) {
    const key = `${50_000 + connection} ${isFromHost ? "host" : "target"}`;
    const role: Role = isFromHost ? "controller" : "host";
    let stream = streams.get(key);
    if (!stream) {
      const found: number[] = [];
      types.set(key, found);
      stream = new PduStream(role, {
        header: (pdu) => {
          found.push(pduType[pdu.type as PduName]);
          if (pdu.type === "ICReq") digests.set(connection, pdu.dgst);
          return undefined;
        },
        data: () => {},
        end: (matches) => {
          assert.ok(matches, "a data digest is wrong");
          return undefined;
        },
      });
      streams.set(key, stream);
    }
    // The ICReq is there before anything is sent after ICResp.
    for (const at of splits(stream, bytes)) {
      const fault = stream.push(at);
      assert.equal(fault, undefined);
      const { hdgst = false, ddgst = false } = digests.get(connection) ?? {};
      const limits = { capsuleDataBytesMax: 2 ** 20, alignmentBytes: 4 };
      stream.framing = { ...initialFraming, ...limits, hdgst, ddgst };
    }
  }
  return types;
}

/** The first PDU of a direction by itself: digests begin behind it. */
function splits(stream: PduStream, bytes: Uint8Array): Uint8Array[] {
  const isFirst = stream.framing.capsuleDataBytesMax === 0;
  return isFirst ? [bytes.subarray(0, 128), bytes.subarray(128)] : [bytes];
}

/** tshark reads every PDU that our decoder reads, none malformed, all digests right. */
async function checkCapture(pieces: readonly Piece[]): Promise<void> {
  const path = await save(pieces);
  assert.deepEqual(await findFaults(path), []);
  const types = new Map<string, number[]>();
  const fields = ["tcp.srcport", "tcp.dstport", "nvme-tcp.type"];
  for (const [from = "", to = "", list = ""] of await dissect(path, "nvme-tcp", fields)) {
    const key = from === "4420" ? `${to} target` : `${from} host`;
    types.set(key, [...(types.get(key) ?? []), ...list.split(",").map(Number)]);
  }
  assert.deepEqual(types, typesOf(pieces));
}

for (const hdgst of [false, true]) {
  for (const ddgst of [false, true]) {
    testCapture(`tshark reads I/O with header digest ${hdgst}, data digest ${ddgst}`, async () => {
      await using server = await record();
      const controller = await server.connect({ digests: { hdgst, ddgst }, ioQueues: 2 });
      await using disk = await controller.openNamespace(1);
      for (const length of [512, 4096, 16384, 65536, 2 ** 20]) {
        const data = Buffer.alloc(length, `${length}`);
        await disk.write(4096, data);
        assert.equal(await disk.compare(4096, data), true);
        await disk.read(4096, Buffer.alloc(length));
      }
      await disk.deallocate(0, 4096);
      await disk.writeZeroes(8192, 4096);
      await disk.verify(0, 65536);
      await disk.flush();
      await controller.logs.smart();
      await controller.close();
      await checkCapture(server.recorder.pieces);
    });
  }
}

testCapture("tshark reads discovery", async () => {
  await using server = await record();
  const entries = await discover({ host, port: server.recorder.port, hostNqn });
  assert.ok(entries.length > 0);
  await checkCapture(server.recorder.pieces);
});

testCapture("tshark reads DH-HMAC-CHAP, and its refusal", async () => {
  const secret = new DhchapSecret(new Uint8Array(32).fill(1), "sha256").reveal();
  const wrong = new DhchapSecret(new Uint8Array(32).fill(2), "sha256").reveal();
  await using server = await record(new Map([[hostNqn, { secret, controllerSecret: secret }]]));
  const both = { secret, controllerSecret: secret, groups: ["ffdhe2048"] } as const;
  await (await server.connect({ authentication: both })).close();
  const refused = server.connect({ authentication: { ...both, secret: wrong } });
  await assert.rejects(refused, { code: "authentication-failed" });
  await checkCapture(server.recorder.pieces);
});

testCapture("tshark reads commands and connections that fail", async () => {
  await using server = await record();
  const controller = await server.connect();
  await using disk = await controller.openNamespace(1);
  server.device.inject({ kind: "fail", code: "medium", times: 1 });
  await assert.rejects(disk.read(0, Buffer.alloc(65536)), { code: "medium" });
  const beyond = controller.executeIo(command("verify", { nsid: 1, slba: 2n ** 40n }));
  await assert.rejects(beyond, { code: "status" });
  await assert.rejects(controller.namespace(7), { name: "InitiatorError" });
  await controller.close();
  const other = server.connect({ subsystemNqn: `${subsystemNqn}:none` });
  await assert.rejects(other, { code: "status" });
  await checkCapture(server.recorder.pieces);
});

testCapture("tshark finds a header digest that is wrong", async () => {
  await using server = await record();
  await (await server.connect({ digests: { hdgst: true } })).close();
  const { pieces } = server.recorder;
  const at = pieces.findIndex(({ isFromHost, bytes }) => isFromHost && bytes[0] === 4);
  const damaged = Uint8Array.from(pieces[at]!.bytes);
  damaged[72]! ^= 1;
  const path = await save(pieces.with(at, { ...pieces[at]!, bytes: damaged }));
  assert.equal((await dissect(path, "nvme-tcp.hdgst.status == 0", ["frame.number"])).length, 1);
  assert.equal((await findFaults(path)).length, 1);
});
