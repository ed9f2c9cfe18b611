/**
 * Flashing again after a small change: time and bytes of a full flash and of one that sends only what
 * differs, on loopback, whole processes from start to end.
 *
 * `npm run bench loop [GIBIBYTES] [TURNS] [shared] [memory]`; 4 GiB of noise and 3 turns unless told.
 *
 * In each turn: the disk is emptied and the image written (full); one of hundred of the image's 64 KiB
 * blocks is changed, and it is written again (delta); then once more (nothing differs). Between them
 * the box hashes the whole disk, which is what a delta cannot be faster than.
 *
 * Box and user have a core each, as on two machines; `shared` lets both use all. Files lie in the
 * folder for temporary files; `memory` puts them in /dev/shm.
 */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, rm, truncate } from "node:fs/promises";
import { connect } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { RpcClient } from "../src/rpc/index.ts";
import { makeFakeUser } from "../test/driver-fake-box.ts";
import { describeMachine } from "./machine.ts";
import { median } from "./nvme-loads.ts";
import { cores } from "./nvme-process.ts";
import { type Run, runProgram, showRuns } from "./timing.ts";

const execute = promisify(execFile);
const mebibyte = 2 ** 20;
const unitBytes = 64 * 1024;
const serial = "LOOP0001";
const main = join(import.meta.dirname, "../src/cli/main.ts");
const words = process.argv.slice(2);
const [gibibytes = 4, turns = 3] = words.filter((word) => /^[\d.]+$/.test(word)).map(Number);
const isShared = words.includes("shared");
const imageBytes = Math.round(gibibytes * 1024) * mebibyte;
const changedUnits = Math.max(1, Math.round(imageBytes / unitBytes / 100));
const every = `0-${availableParallelism() - 1}`;
const boxCores = isShared ? every : `${cores.server}`;
const userCores = isShared ? every : `${cores.client}`;

await using stack = new AsyncDisposableStack();
const folder = await mkdtemp(join(words.includes("memory") ? "/dev/shm" : tmpdir(), "loop-"));
stack.defer(() => rm(folder, { recursive: true, force: true }));
const image = join(folder, "os.raw");
const disk = join(folder, "disk");

console.log(describeMachine());
console.log(`${gibibytes} GiB of noise; box on core ${boxCores}, user on core ${userCores}`);
await noise(image, imageBytes);
await truncateTo(disk, imageBytes + 64 * mebibyte);
await using box = await startBox();
await using user = await makeFakeUser({ "lunch-feta": box.port });
const client = await openClient(box.port);

interface Flash {
  readonly run: Run;
  readonly sentBytes: number;
  readonly zeroBytes: number;
}
const flashes = { full: [] as Flash[], delta: [] as Flash[], same: [] as Flash[] };
const hashRuns: Run[] = [];
const opensslRates: number[] = [];
for (let turn = 0; turn < turns; turn++) {
  await truncateTo(disk, 0);
  await truncateTo(disk, imageBytes + 64 * mebibyte);
  flashes.full.push(await flash("full"));
  hashRuns.push(await hashDisk());
  opensslRates.push(await opensslRate());
  await change(image);
  flashes.delta.push(await flash("delta"));
  hashRuns.push(await hashDisk());
  flashes.same.push(await flash("delta"));
}
report();

function report(): void {
  const wall = (runs: readonly Run[]) => median(runs.map(({ wallMs }) => wallMs));
  const wallOf = (all: readonly Flash[]) => wall(all.map(({ run }) => run));
  const show = (bytes: number) => `${(bytes / mebibyte).toFixed(1)} MiB`;
  for (const [name, all] of Object.entries(flashes)) {
    const sent = median(all.map(({ sentBytes }) => sentBytes));
    const zeroed = median(all.map(({ zeroBytes }) => zeroBytes));
    const runs = showRuns(all.map(({ run }) => run));
    console.log(`${name.padEnd(6)} ${runs}; ${show(sent)} written, ${show(zeroed)} zeroed`);
  }
  const hashMs = wall(hashRuns);
  const rate = imageBytes / hashMs / 1000;
  const openssl = median(opensslRates) / 1e6;
  console.log(`hash   ${showRuns(hashRuns)}; ${rate.toFixed(0)} MB/s`);
  console.log(
    `openssl speed, same cores: ${openssl.toFixed(0)} MB/s; hash rate ÷ that: ${(rate / openssl).toFixed(2)} (goal ≥ 0.9)`,
  );
  const sent = median(flashes.delta.map(({ sentBytes }) => sentBytes));
  const ratios = [
    ["full ÷ delta", wallOf(flashes.full) / wallOf(flashes.delta), "≥ 10"],
    ["delta ÷ hash once", wallOf(flashes.delta) / hashMs, "≤ 1.2"],
    ["bytes written ÷ bytes changed", sent / (changedUnits * unitBytes), "≤ 1.1"],
  ] as const;
  for (const [what, value, goal] of ratios)
    console.log(`${what}: ${value.toFixed(2)} (goal ${goal})`);
}

async function flash(mode: "full" | "delta"): Promise<Flash> {
  const before = await box.written();
  const args = ["-c", userCores, process.execPath, main, "flash", image, "lunch-feta"];
  const options = ["--confirm", serial, "--json"];
  let text = "";
  const run = await runProgram("taskset", [...args, ...options], user.environment, (out) => {
    text = out;
  });
  const last = JSON.parse(text.trim().split("\n").at(-1) ?? "{}");
  const found = last.results?.[0];
  if (found?.mode?.mode !== mode)
    throw new Error(`It was no ${mode} flash: ${JSON.stringify(last)}`);
  const after = await box.written();
  return {
    run,
    sentBytes: after.bytes - before.bytes,
    zeroBytes: after.zeroBytes - before.zeroBytes,
  };
}

/** All that the image covers. */
async function hashDisk(): Promise<Run> {
  const startMs = performance.now();
  const ranges = [{ offsetBytes: 0, lengthBytes: imageBytes }];
  await client.stream("hash", { disk: "nvme0n1", ranges, unitBytes }, () => {});
  return { wallMs: performance.now() - startMs, cpuMs: undefined };
}

/** Bytes in a second, with a process for each of the box's cores. */
async function opensslRate(): Promise<number> {
  const processes = isShared ? availableParallelism() : 1;
  const speed = ["speed", "-seconds", "2", "-multi", `${processes}`, "-evp", "sha256"];
  const args = ["-c", boxCores, "openssl", ...speed, "-bytes", `${unitBytes}`];
  const { stdout } = await execute("taskset", args);
  const found = /^sha256\s+([\d.]+)k/im.exec(stdout);
  return Number(found?.[1]) * 1000;
}

async function startBox() {
  const program = join(import.meta.dirname, "loop-box.ts");
  const args = ["-c", boxCores, process.execPath, program, disk, serial];
  const child = spawn("taskset", args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const [line] = await once(lines, "line");
  return {
    port: Number(line),
    async written(): Promise<{ bytes: number; zeroBytes: number }> {
      const answer = once(lines, "line");
      child.stdin.write("\n");
      return JSON.parse((await answer)[0]);
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, "close");
    },
  };
}

async function openClient(port: number): Promise<RpcClient> {
  const socket = connect({ host: "127.0.0.1", port });
  // It says first that it speaks SSH, as a box's port does.
  await once(socket, "data");
  stack.defer(() => void socket.destroy());
  const opened = new RpcClient((line) => void socket.write(line));
  socket.on("data", (chunk) => opened.receive(chunk));
  return opened;
}

/** A file of bytes that nothing can pack. */
async function noise(path: string, lengthBytes: number): Promise<void> {
  await using file = await open(path, "wx");
  const piece = Buffer.alloc(4 * mebibyte);
  for (let done = 0; done < lengthBytes; done += piece.length) {
    await file.write(crypto.getRandomValues(piece.subarray(0, 65536)), 0, 65536, done);
    fillOn(piece, done);
    await file.write(piece, 0, piece.length, done);
  }
  await file.sync();
}

/** Spreads the first 64 KiB over a piece, each part another. */
function fillOn(piece: Buffer, seed: number): void {
  const wide = new Uint32Array(piece.buffer, piece.byteOffset, piece.length / 4);
  const first = 65536 / 4;
  for (let at = first; at < wide.length; at++) wide[at] = wide[at - first]! + seed + at;
}

/** Changes units here and there. */
async function change(path: string): Promise<void> {
  await using file = await open(path, "r+");
  const step = Math.floor(imageBytes / unitBytes / changedUnits);
  for (let n = 0; n < changedUnits; n++) {
    const at = (n * step + Math.floor(Math.random() * step)) * unitBytes;
    await file.write(crypto.getRandomValues(Buffer.alloc(unitBytes)), 0, unitBytes, at);
  }
  await file.sync();
}

async function truncateTo(path: string, lengthBytes: number): Promise<void> {
  await using _ = await open(path, "a");
  await truncate(path, lengthBytes);
}
