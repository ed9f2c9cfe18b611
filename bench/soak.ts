/**
 * A soak of the target: 16 hosts that connect, write, verify and vanish in the middle of it, for
 * ten minutes. Memory and descriptors of the target must be flat.
 *
 * `node bench/soak.ts [MINUTES]`; the exit code is 1 when they are not. The target is a process of
 * its own, the hosts are this one.
 */

import { readdir, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileDisk } from "../src/block/index.ts";
import { type Controller, connectController, type RemoteDisk } from "../src/initiator/index.ts";
import { benchNqn } from "./nvme-loads.ts";
import { memoryOf, type Server, serveOurs } from "./nvme-process.ts";

const minutes = Number(process.argv[2] ?? 10);
if (!(minutes > 0)) throw new RangeError("usage: node bench/soak.ts [MINUTES]");

const hosts = 16;
const mebibyte = 2 ** 20;
const hostBytes = 4 * mebibyte;
const samples = 20;
/** What it takes until caches are full and code is compiled. */
const warmUpShare = 0.25;
/** The later half of what comes after that may have so much more than the earlier half. */
const growthBytesMax = 16 * mebibyte;
/**
 * The target's heap needs 14 MiB. Left alone, it collects its garbage after 150 MiB or so, once in
 * minutes, which looks like growth; with no more room than this, what grows ends it.
 */
const heapOptions = ["--max-old-space-size=48", "--max-semi-space-size=4"];

/** How things stood at a moment. */
interface Sample {
  readonly minute: number;
  readonly memoryBytes: number;
  readonly descriptors: number;
}

const counts = { connections: 0, vanished: 0, writes: 0, verified: 0 };
const durationMs = minutes * 60_000;
const path = join(tmpdir(), `diskomator-soak-${process.pid}`);

try {
  process.exitCode = (await soak()) ? 0 : 1;
} finally {
  await rm(path, { force: true });
}

async function soak(): Promise<boolean> {
  await (await FileDisk.open(path, { createBytes: hosts * hostBytes }))[Symbol.asyncDispose]();
  await using server = await serveOurs(path, { nodeOptions: heapOptions });
  const idle = await sample(server, 0);
  console.log(`${hosts} hosts for ${minutes} minutes; before them ${show(idle)}`);
  const startMs = performance.now();
  const isOver = () => performance.now() - startMs > durationMs;
  const working = Array.from({ length: hosts }, (_, index) => beHost(server.port, index, isOver));
  const failed = Promise.all(working);
  const taken: Sample[] = [];
  while (!isOver()) {
    await Promise.race([sleep(durationMs / samples), failed]);
    taken.push(await sample(server, (performance.now() - startMs) / 60_000));
    console.log(show(taken.at(-1)!));
  }
  await failed;
  return judge(idle, taken, await rested(server, idle.descriptors));
}

/** Connects through a relay of its own, works, vanishes; and again until it is over. */
async function beHost(port: number, index: number, isOver: () => boolean): Promise<void> {
  let life = 0;
  while (!isOver()) {
    await using relay = await openRelay(port);
    const connecting = connectController({
      host: "127.0.0.1",
      port: relay.port,
      subsystemNqn: benchNqn,
      hostNqn: `nqn.2026-11.org.example:soak-${index}`,
      ioQueues: 1 + (life % 3),
      digests: { hdgst: life % 2 === 1, ddgst: life % 4 > 1 },
    });
    const controller = await connecting;
    counts.connections++;
    const disk = await controller.openNamespace(1);
    for (let round = 0; round < 4; round++) await writeAndVerify(disk, index, life * 4 + round);
    life += 1;
    if (life % 4 === 0) await controller.close();
    else await vanish(controller, disk, relay, index);
  }
}

async function writeAndVerify(disk: RemoteDisk, index: number, seed: number): Promise<void> {
  const lengthBytes = [4096, 16_384, 65_536, mebibyte][seed % 4]!;
  const data = Buffer.alloc(lengthBytes, `host ${index}, ${seed}; `);
  const pieces = [0, 1, 2, 3].map((piece) => index * hostBytes + piece * mebibyte);
  await Promise.all(pieces.map((offset) => disk.write(offset, data)));
  if (seed % 8 === 0) await disk.flush();
  for (const offset of pieces) {
    const found = Buffer.alloc(lengthBytes);
    await disk.read(offset, found);
    if (!found.equals(data)) throw new Error(`Host ${index} read back other bytes at ${offset}.`);
    counts.verified += 1;
  }
  counts.writes += pieces.length;
}

/** Breaks all connections while commands are under way. */
async function vanish(
  controller: Controller,
  disk: RemoteDisk,
  relay: { cut(): void },
  index: number,
): Promise<void> {
  const data = Buffer.alloc(mebibyte);
  const start = index * hostBytes;
  const calls = [
    ...[0, 1, 2].map((piece) => disk.write(start + piece * mebibyte, data)),
    ...[0, 1, 2].map((piece) => disk.read(start + piece * mebibyte, Buffer.alloc(mebibyte))),
  ];
  await sleep(index % 5);
  relay.cut();
  await Promise.allSettled(calls);
  await controller.close().catch(() => {});
  counts.vanished += 1;
}

/** A relay to the target whose connections can be destroyed from outside. */
async function openRelay(targetPort: number) {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect({ host: "127.0.0.1", port: targetPort, noDelay: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((listening) => {
    server.listen({ host: "127.0.0.1", port: 0 }, listening);
  });
  const address = server.address();
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return {
    port: typeof address === "object" && address ? address.port : 0,
    cut,
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise((closed) => server.close(closed));
    },
  };
}

async function sample(server: Server, minute: number): Promise<Sample> {
  const descriptors = (await readdir(`/proc/${server.pid}/fd`)).length;
  return { minute, memoryBytes: memoryOf(server.pid).nowBytes, descriptors };
}

/** How it is once the target has noticed that all hosts are gone. */
async function rested(server: Server, descriptors: number): Promise<Sample> {
  let last = await sample(server, minutes);
  for (let tries = 0; tries < 50 && last.descriptors > descriptors; tries++) {
    await sleep(100);
    last = await sample(server, minutes);
  }
  return last;
}

function judge(idle: Sample, taken: readonly Sample[], end: Sample): boolean {
  console.log(`after them ${show(end)}; ${JSON.stringify(counts)}`);
  const warm = taken.slice(Math.ceil(taken.length * warmUpShare));
  const half = Math.ceil(warm.length / 2);
  const most = (part: readonly Sample[]) => Math.max(...part.map((each) => each.memoryBytes));
  const growth = most(warm.slice(half)) - most(warm.slice(0, half));
  const isFlat = growth <= growthBytesMax;
  const isClosed = end.descriptors <= idle.descriptors;
  const changed = `${(growth / mebibyte).toFixed(1)} MiB`;
  console.log(`memory: ${changed} more in the later half; ${isFlat ? "flat" : "NOT FLAT"}`);
  console.log(`descriptors: ${idle.descriptors} before, ${end.descriptors} after`);
  return isFlat && isClosed && counts.vanished > 0;
}

function show({ minute, memoryBytes, descriptors }: Sample): string {
  const memory = (memoryBytes / mebibyte).toFixed(0);
  return `${minute.toFixed(1).padStart(5)} min: ${memory} MiB, ${descriptors} descriptors`;
}
