/**
 * Flashing again after a small change: time and bytes of a full flash and of one that sends only what
 * differs, whole processes from start to end.
 *
 * `npm run bench loop [vm] [GIBIBYTES] [TURNS] [shared] [memory]`; 4 GiB of noise and 3 turns unless told.
 *
 * In each turn: the disk is emptied and the image written (full); one of hundred of the image's 64 KiB
 * blocks is changed, and it is written again (delta); then once more (nothing differs). Between them
 * the box hashes the whole disk, which is what a delta cannot be faster than.
 *
 * The box is a process on loopback with a file as its disk; with `vm`, a real one in a virtual machine,
 * whose writes QEMU counts. On loopback box and user have a core each, as on two machines; `shared`
 * lets both use all. Files lie in the folder for temporary files; `memory` puts those of loopback, and
 * the image, in /dev/shm.
 */

import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startLoopback } from "./driver-loop-loopback.ts";
import { startInVm } from "./driver-loop-vm.ts";
import { mebibyte, spareBytes, unitBytes } from "./loop-measures.ts";
import { describeMachine } from "./machine.ts";
import { median } from "./nvme-loads.ts";
import { type Run, showRuns } from "./timing.ts";

const words = process.argv.slice(2);
const [gibibytes = 4, turns = 3] = words.filter((word) => /^[\d.]+$/.test(word)).map(Number);
const imageBytes = Math.round(gibibytes * 1024) * mebibyte;
const changedUnits = Math.max(1, Math.round(imageBytes / unitBytes / 100));

await using stack = new AsyncDisposableStack();
const folder = await mkdtemp(join(words.includes("memory") ? "/dev/shm" : tmpdir(), "loop-"));
stack.defer(() => rm(folder, { recursive: true, force: true }));
const image = join(folder, "os.raw");

console.log(describeMachine());
await noise(image, imageBytes);
const diskBytes = imageBytes + spareBytes;
const box = stack.use(
  words.includes("vm")
    ? await startInVm(diskBytes)
    : await startLoopback(folder, diskBytes, words.includes("shared")),
);
console.log(`${gibibytes} GiB of noise, ${turns} turns; box ${box.about}`);

interface Flash {
  readonly run: Run;
  readonly sentBytes: number;
  readonly zeroBytes: number | undefined;
}
const flashes = { full: [] as Flash[], delta: [] as Flash[], same: [] as Flash[] };
const hashRuns: Run[] = [];
const opensslRates: number[] = [];
for (let turn = 0; turn < turns; turn++) {
  if (turn > 0) await box.empty();
  flashes.full.push(await flash("full"));
  hashRuns.push(await hashDisk());
  if (box.opensslRate) opensslRates.push(await box.opensslRate());
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
    const zeroed = all.flatMap(({ zeroBytes }) => zeroBytes ?? []);
    const zeros = zeroed.length > 0 ? `, ${show(median(zeroed))} zeroed` : "";
    console.log(
      `${name.padEnd(6)} ${showRuns(all.map(({ run }) => run))}; ${show(sent)} written${zeros}`,
    );
  }
  const hashMs = wall(hashRuns);
  const rate = imageBytes / hashMs / 1000;
  console.log(`hash   ${showRuns(hashRuns)}; ${rate.toFixed(0)} MB/s`);
  if (opensslRates.length > 0) {
    const openssl = median(opensslRates) / 1e6;
    console.log(
      `openssl speed, same cores: ${openssl.toFixed(0)} MB/s; hash rate ÷ that: ${(rate / openssl).toFixed(2)} (goal ≥ 0.9)`,
    );
  }
  const sent = median(flashes.delta.map(({ sentBytes }) => sentBytes));
  // The goals are those of loopback.
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
  const { run, last } = await box.flash(image);
  if (last.results?.[0]?.mode?.mode !== mode)
    throw new Error(`It was no ${mode} flash: ${JSON.stringify(last)}`);
  const after = await box.written();
  return {
    run,
    sentBytes: after.bytes - before.bytes,
    zeroBytes:
      after.zeroBytes === undefined ? undefined : after.zeroBytes - (before.zeroBytes ?? 0),
  };
}

/** All that the image covers. */
async function hashDisk(): Promise<Run> {
  const startMs = performance.now();
  await box.hash(imageBytes);
  return { wallMs: performance.now() - startMs, cpuMs: undefined };
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
