/**
 * Load on our target, as a process of its own.
 *
 * `node bench/nvme-load.ts ORDER`, a LoadOrder as JSON; prints a Measured as JSON.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { capsuleDataBytesMax, type LoadOrder, queueEntries } from "./nvme-loads.ts";
import { cpuMsOf } from "./nvme-process.ts";
import { CommandStream, Wire } from "./nvme-wire.ts";

const lbaBytes = 512;
/** Of the disk, this much is used: fio is told the same. */
const spanBytes = 256 * 2 ** 20;

const order: LoadOrder = JSON.parse(process.argv[2] ?? "{}");
const digests = { hdgst: order.hasDigests, ddgst: order.hasDigests };
const blocks = spanBytes / order.blockBytes;
const blockLbas = order.blockBytes / lbaBytes;

let operations = 0;
let isOver = false;
let underWay = 0;
let seed = 20261123;
let position = 0;

/** Marsaglia's xorshift with 32 bits. */
function nextRandom(): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return seed >>> 0;
}

function nextLba(): number {
  underWay++;
  const block = order.isRandom ? nextRandom() % blocks : position++ % blocks;
  return block * blockLbas;
}

function ended(): boolean {
  operations++;
  underWay--;
  return !isOver;
}

const wires: Wire[] = [];
const streams: CommandStream[] = [];
for (let count = 0; count < order.connections; count++) {
  const admin = await Wire.openAdmin(order.port, digests);
  const queue = { qid: 1, cntlid: admin.cntlid, entries: queueEntries };
  const io = await Wire.openIo(order.port, digests, queue);
  wires.push(admin.wire, io);
  const { kind, blockBytes, depth } = order;
  const options = { kind, blockBytes, depth, capsuleDataBytesMax, nextLba, ended };
  streams.push(new CommandStream(io, options));
}
for (const stream of streams) stream.start();
await sleep(order.warmUpMs);
const before = { operations, cpuMs: cpuMsOf(order.pid), nowMs: performance.now() };
await sleep(order.durationMs);
const seconds = (performance.now() - before.nowMs) / 1000;
const serverCpuMs = cpuMsOf(order.pid) - before.cpuMs;
console.log(JSON.stringify({ operations: operations - before.operations, seconds, serverCpuMs }));
isOver = true;
while (underWay > 0) await sleep(10);
for (const wire of wires) wire.close();
