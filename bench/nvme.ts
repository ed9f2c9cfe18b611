/**
 * NVMe/TCP: our target under load beside nbdkit and qemu-nbd on the same file, our host beside
 * nbdcopy, what digests cost, and how much memory the target takes.
 *
 * `node bench/nvme.ts [--quick] [WORD...]`: short runs, once each; only loads whose title has a
 * word. Server and client have a core each. All servers take their turns at each load. The time
 * of the server's processor per operation is the figure to compare: our generator of load is
 * slower than fio, and may be what limits the rate.
 */

import { access, mkdtemp, open, rm } from "node:fs/promises";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { type CopyOrder, type Load, loads, type Measured, median } from "./nvme-loads.ts";
import {
  type Peer,
  peers,
  runFio,
  runNbdcopy,
  serveNbdkit,
  serveQemu,
  versionOf,
} from "./nvme-peers.ts";
import { memoryOf, runOurs, type Server, serveOurs, serverProgram } from "./nvme-process.ts";

const isQuick = process.argv.includes("--quick");
const words = process.argv.slice(2).filter((word) => !word.startsWith("-"));
const runs = isQuick ? 1 : 3;
const durationMs = isQuick ? 1000 : 3000;
const warmUpMs = isQuick ? 500 : 1000;
const fileBytes = (isQuick ? 256 : 1024) * 2 ** 20;
const mebibyte = 2 ** 20;
/** As `bin/diskomator.mjs` has it. */
const heapOptions = ["--max-semi-space-size=4"];
const memoryBudgetBytes = 150 * mebibyte;

/** A server with the generator of load that fits it. */
interface Contender {
  readonly name: string;
  readonly server: Server;
  run(load: Load): Promise<Measured>;
}

const scratch = await mkdtemp(join(await shared(), "diskomator-bench-"));
try {
  await main(join(scratch, "disk"), join(scratch, "source"));
} finally {
  await rm(scratch, { recursive: true });
}

async function main(path: string, source: string): Promise<void> {
  const found = await findPeers();
  console.log(describeMachine(found));
  for (const name of [path, source]) await fill(name);
  await using servers = new AsyncDisposableStack();
  const target = servers.use(await serveOurs(path));
  const ours: Contender = { name: "ours", server: target, run: (load) => runLoad(target, load) };
  const nbdkit = found.has("nbdkit") ? servers.use(await serveNbdkit(path)) : undefined;
  const qemu = found.has("qemu-nbd") ? servers.use(await serveQemu(path)) : undefined;
  const chosen = loads.filter(({ title }) => isWanted(title));
  const contenders = [ours];
  if (found.has("fio")) contenders.push(...underFio({ nbdkit, "qemu-nbd": qemu }));
  for (const load of chosen) await compare(load, contenders);
  for (const load of chosen.filter(({ depth }) => depth === 32)) {
    const digested = { name: "ours, both digests", server: target };
    const run = () => runLoad(target, load, { hasDigests: true });
    await compare(load, [{ ...digested, run }]);
  }
  const copied = found.has("nbdcopy") ? nbdkit : undefined;
  for (const kind of ["read", "write"] as const) {
    if (isWanted(`copy ${kind}`)) await compareCopies(kind, source, target, copied);
  }
  if (isWanted("memory")) await showMemory(path);
}

function isWanted(title: string): boolean {
  return words.length === 0 || words.some((word) => title.includes(word));
}

/** Memory is the page cache, without a disk behind it. */
async function shared(): Promise<string> {
  const folder = "/dev/shm";
  const isThere = await access(folder).then(
    () => true,
    () => false,
  );
  return isThere ? folder : tmpdir();
}

function underFio(all: Readonly<Record<string, Server | undefined>>): Contender[] {
  return Object.entries(all).flatMap(([name, server]) =>
    server ? [{ name, server, run: (load: Load) => runFio(server, load, durationMs) }] : [],
  );
}

function runLoad(
  server: Server,
  { kind, blockBytes, depth, isRandom }: Load,
  { connections = 1, hasDigests = false } = {},
): Promise<Measured> {
  const { pid, port } = server;
  const what = { kind, blockBytes, depth, isRandom, connections, hasDigests };
  return runOurs("nvme-load.ts", { ...what, pid, port, warmUpMs, durationMs });
}

async function compare(load: Load, contenders: readonly Contender[]): Promise<void> {
  console.log(`\n${load.title}`);
  const results = new Map<Contender, Measured[]>(contenders.map((each) => [each, []]));
  for (let run = 0; run < runs; run++) {
    for (const [contender, measured] of results) measured.push(await contender.run(load));
  }
  for (const [{ name }, measured] of results) console.log(show(name, load, measured));
}

function show(name: string, load: Load, measured: readonly Measured[]): string {
  const rates = measured.map(({ operations, seconds }) => operations / seconds);
  const cpuUs = measured.map(({ operations, serverCpuMs }) => (serverCpuMs * 1000) / operations);
  const spread = `${Math.round(Math.min(...rates))} to ${Math.round(Math.max(...rates))}`;
  const rate = median(rates);
  const mebibytes = (rate * load.blockBytes) / mebibyte;
  const columns = [
    name.padEnd(20),
    `${rate.toFixed(0)} /s`.padStart(12),
    `${mebibytes.toFixed(0)} MiB/s`.padStart(12),
    `${median(cpuUs).toFixed(1)} µs of server each`.padStart(26),
  ];
  return `  ${columns.join("")}   (${spread})`;
}

async function compareCopies(
  kind: CopyOrder["kind"],
  source: string,
  target: Server,
  nbdkit: Server | undefined,
): Promise<void> {
  console.log(`\ncopy ${kind}: the whole disk, requests of 1 MiB`);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let run = 0; run < runs; run++) {
    const order: CopyOrder = { port: target.port, kind, path: source };
    ours.push((await runOurs<{ seconds: number }>("nvme-copy.ts", order)).seconds);
    if (nbdkit) theirs.push(await runNbdcopy(nbdkit, kind, source));
  }
  const line = (name: string, seconds: readonly number[]) => {
    const rates = seconds.map((each) => fileBytes / mebibyte / each);
    const spread = `${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)}`;
    return `  ${name.padEnd(20)}${`${median(rates).toFixed(0)} MiB/s`.padStart(12)}   (${spread})`;
  };
  console.log(line("our host and target", ours));
  if (nbdkit) console.log(line("nbdcopy and nbdkit", theirs));
}

/** A fresh target, which has seen nothing but this, in one file as it is published. */
async function showMemory(path: string): Promise<void> {
  const outfile = join(scratch, "server.mjs");
  const options = { bundle: true, platform: "node", format: "esm" } as const;
  await build({ entryPoints: [serverProgram], outfile, ...options });
  await using server = await serveOurs(path, { program: outfile, nodeOptions: heapOptions });
  const idle = memoryOf(server.pid).nowBytes;
  const wide = { depth: 128, title: "" };
  for (const load of [
    { ...wide, kind: "read", blockBytes: 4096, isRandom: true },
    { ...wide, kind: "write", blockBytes: 131072, isRandom: true },
    { ...wide, kind: "read", blockBytes: 131072, isRandom: true },
    { ...wide, kind: "write", blockBytes: mebibyte, isRandom: true },
    { ...wide, kind: "read", blockBytes: mebibyte, isRandom: true },
  ] as const) {
    await runLoad(server, load, { connections: 64 });
  }
  const { mostBytes } = memoryOf(server.pid);
  const show = (bytes: number) => `${(bytes / mebibyte).toFixed(0)} MiB`;
  const verdict = mostBytes <= memoryBudgetBytes ? "within" : "over";
  console.log(
    `\nmemory: 64 connections at depth 128, 4 KiB to 1 MiB\n  at most ${show(mostBytes)}, ` +
      `${show(idle)} before; ${verdict} the budget of ${show(memoryBudgetBytes)}`,
  );
}

async function findPeers(): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const peer of Object.values<Peer>(peers)) {
    const version = await versionOf(peer);
    if (version) found.set(peer.name, version);
    else console.log(`There is no ${peer.name} here; on Debian: apt install ${peer.debianPackage}`);
  }
  return found;
}

function describeMachine(found: ReadonlyMap<string, string>): string {
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  const versions = [`Node ${process.version}`, ...found.values()].join(", ");
  return (
    `${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}, ${memory} GiB, ` +
    `Linux ${release()}; ${versions}\n` +
    `File of ${fileBytes / mebibyte} MiB in memory; ${runs} × ${durationMs / 1000} s each`
  );
}

/** Writes bytes that are no zeros, so that the file has no holes. */
async function fill(path: string): Promise<void> {
  await using file = await open(path, "w");
  const piece = Buffer.alloc(mebibyte, "not zeros ");
  for (let done = 0; done < fileBytes; done += piece.length) await file.write(piece);
}
