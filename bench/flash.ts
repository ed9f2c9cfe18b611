/**
 * Flashing beside its peers, in turns, whole processes from start to end, on loopback.
 *
 * `npm run bench flash [random] [zstd] [sparse] [TURNS]`; all three and 3 turns unless told.
 *
 * - random: 2 GiB of noise in memory to a file in memory: ours over NVMe/TCP; nbdcopy to nbdkit and
 *   `qemu-img convert` to qemu-nbd over NBD. The peers do not verify: `--no-verify` is their like.
 * - zstd: an archive of /usr, packed: `zstd -dc > /dev/null`; ours to a disk that forgets what is
 *   written, and to a file in memory, which then takes its share of the same processors.
 * - sparse: 16 GiB with 2 GiB of noise, from disk to disk, beside `dd` without any network.
 */

import { execFile } from "node:child_process";
import { mkdtemp, open, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describeMachine } from "./machine.ts";
import { benchNqn, median } from "./nvme-loads.ts";
import { peers, serveNbdkit, serveQemu, versionOf } from "./nvme-peers.ts";
import { type Server, serveOurs } from "./nvme-process.ts";
import { type Run, runNode, runProgram } from "./timing.ts";

const execute = promisify(execFile);
const gibibyte = 2 ** 30;
const mebibyte = 2 ** 20;
const main = join(import.meta.dirname, "../src/cli/main.ts");
/** Nobody is pinned: each takes what it can get of both cores. */
const anyCore = "0-1";

interface Contender {
  readonly name: string;
  run(): Promise<Run>;
}

const words = process.argv.slice(2);
const turns = Number(words.find((word) => /^\d+$/.test(word)) ?? 3);
const asked = words.filter((word) => !/^\d+$/.test(word));
const wants = (name: string) => asked.length === 0 || asked.includes(name);
await using stack = new AsyncDisposableStack();
const memory = await folder("/dev/shm");

console.log(describeMachine());
for (const peer of [peers.nbdkit, peers.nbdcopy, peers["qemu-nbd"]]) {
  console.log(
    (await versionOf(peer)) ?? `${peer.name} is missing: apt install`,
    peer.debianPackage,
  );
}
if (wants("random")) await benchRandom();
if (wants("zstd")) await benchZstd();
if (wants("sparse")) await benchSparse();

/** `diskomator flash` to a server of ours, with compiled code kept as its launcher does. */
function flash(image: string, server: Server, ...options: readonly string[]): Promise<Run> {
  const disk = `nvme-tcp://127.0.0.1:${server.port}/${benchNqn}`;
  const args = [main, "flash", image, disk, "--confirm", "BENCH", ...options];
  return runNode(args, { NODE_COMPILE_CACHE: join(memory, "compiled"), ...process.env });
}

async function benchRandom(): Promise<void> {
  const bytes = 2 * gibibyte;
  const image = await noise(join(memory, "random"), bytes, bytes);
  // Written once, so that nobody has to find memory for it.
  const disk = await noise(join(memory, "disk"), bytes + 64 * mebibyte, bytes + 64 * mebibyte);
  const ours = stack.use(await serveOurs(disk, { core: anyCore }));
  const nbdkit = stack.use(await serveNbdkit(disk, anyCore));
  const qemu = stack.use(await serveQemu(disk, anyCore));
  const nbd = (server: Server) => `nbd://127.0.0.1:${server.port}/`;
  const raw = ["-n", "-f", "raw", "-O", "raw"];
  await inTurns("2 GiB of noise", bytes, [
    { name: "flash --no-verify", run: () => flash(image, ours, "--no-verify") },
    { name: "flash, verified", run: () => flash(image, ours) },
    { name: "nbdcopy", run: () => runProgram("nbdcopy", ["--flush", image, nbd(nbdkit)]) },
    {
      name: "qemu-img",
      run: () => runProgram("qemu-img", ["convert", ...raw, image, nbd(qemu)]),
    },
  ]);
  for (const path of [image, disk]) await rm(path);
}

async function benchZstd(): Promise<void> {
  const bytes = 2 * gibibyte;
  const plain = join(memory, "os");
  // What an OS holds, but no archive: those are not flashed.
  const files = "head -c 4096 /dev/zero; tar -C / -cf - usr/lib usr/share usr/bin 2>/dev/null";
  const pack = `{ ${files}; } | head -c ${bytes} > ${plain}`;
  await execute("sh", ["-c", pack]);
  const image = `${plain}.zst`;
  await execute("zstd", ["-q", "-3", plain, "-o", image]);
  await truncate(plain, 0);
  await truncate(plain, bytes + 64 * mebibyte);
  const sinkProgram = join(import.meta.dirname, "flash-sink.ts");
  const sink = stack.use(await serveOurs(`${2 * bytes}`, { program: sinkProgram, core: anyCore }));
  const file = stack.use(await serveOurs(plain, { core: anyCore }));
  await inTurns("2 GiB by zstd -3", bytes, [
    { name: "zstd -dc", run: () => runProgram("sh", ["-c", `zstd -dcq ${image} >/dev/null`]) },
    { name: "flash to nothing", run: () => flash(image, sink, "--no-verify") },
    { name: "flash to a file", run: () => flash(image, file, "--no-verify") },
    { name: "flash, verified", run: () => flash(image, file) },
  ]);
  for (const path of [plain, image]) await rm(path);
}

async function benchSparse(): Promise<void> {
  const bytes = 16 * gibibyte;
  const onDisk = await folder(tmpdir());
  const image = await noise(join(onDisk, "sparse"), 2 * gibibyte, bytes);
  const disk = join(onDisk, "disk");
  const copy = join(onDisk, "copy");
  const fresh = async (path: string, sizeBytes: number) => {
    await rm(path, { force: true });
    await noise(path, 0, sizeBytes);
  };
  const ours = async (...options: readonly string[]) => {
    await fresh(disk, bytes + 64 * mebibyte);
    await using server = await serveOurs(disk, { core: anyCore });
    return await flash(image, server, ...options);
  };
  await inTurns("16 GiB that hold 2 GiB", bytes, [
    { name: "flash --no-verify", run: () => ours("--no-verify") },
    { name: "flash, verified", run: () => ours() },
    {
      name: "dd",
      run: async () => {
        await fresh(copy, 0);
        const run = await runProgram("dd", [`if=${image}`, `of=${copy}`, "bs=4M", "conv=fsync"]);
        await rm(copy);
        return run;
      },
    },
  ]);
}

/** Runs each in its turn, so that what else the machine does befalls all. */
async function inTurns(
  title: string,
  bytes: number,
  contenders: readonly Contender[],
): Promise<void> {
  const runs = contenders.map(() => [] as Run[]);
  for (let turn = 0; turn < turns; turn++) {
    for (const [n, { name, run }] of contenders.entries()) {
      const done = await run();
      runs[n]!.push(done);
      console.log(`  ${name}: ${(done.wallMs / 1000).toFixed(2)} s`);
    }
  }
  console.log(`\n${title}, ${turns} turns; MiB/s by the median, least and most`);
  for (const [n, { name }] of contenders.entries()) {
    const rates = runs[n]!.map(({ wallMs }) => bytes / mebibyte / (wallMs / 1000));
    const figures = [median(rates), Math.min(...rates), Math.max(...rates)].map(Math.round);
    const peaks = runs[n]!.flatMap(({ peakBytes }) => peakBytes ?? []);
    const cpus = runs[n]!.flatMap(({ cpuMs }) => cpuMs ?? []);
    const processor = cpus.length > 0 ? `  processor ${(median(cpus) / 1000).toFixed(1)} s` : "";
    const peak =
      peaks.length > 0 ? `  at most ${Math.round(Math.max(...peaks) / mebibyte)} MiB` : "";
    console.log(`${name.padEnd(20)}${figures.join("  ")}${processor}${peak}`);
  }
}

/** A folder that goes at the end. */
async function folder(parent: string): Promise<string> {
  const path = await mkdtemp(join(parent, "diskomator-flash-"));
  stack.defer(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A file whose noise lies in its first and second half, and whose rest is a hole. */
async function noise(path: string, noiseBytes: number, sizeBytes: number): Promise<string> {
  await using file = await open(path, "w");
  await file.truncate(sizeBytes);
  const chunk = Buffer.alloc(4 * mebibyte);
  const random = await open("/dev/urandom");
  await using _ = random;
  const step = Math.max(chunk.length, Math.floor(sizeBytes / (noiseBytes / chunk.length || 1)));
  for (let done = 0, at = 0; done < noiseBytes; done += chunk.length, at += step) {
    const { bytesRead } = await random.read(chunk, 0, Math.min(chunk.length, sizeBytes - at));
    await file.write(chunk, 0, bytesRead, at);
  }
  return path;
}
