/**
 * The image builder: how long a build takes with only downloads cached, how long after a change to
 * the daemon, how large the image is, and whether two builds are the same.
 *
 * `npm run bench build [RUNS]` (5 unless told). Whole processes, from their start.
 */

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { loadDefinition } from "../src/image/build/index.ts";
import type { Manifest } from "../src/image/index.ts";
import { findMkosi, Mkosi } from "./driver-mkosi.ts";
import { describeMachine } from "./machine.ts";
import { type Run, runNode, showRuns } from "./timing.ts";

const root = join(import.meta.dirname, "..");
const appliance = join(root, "appliances/diskomator.ts");
const runs = Number(process.argv[2] ?? 5);
const userCache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "diskomator");

const scratch = await mkdtemp(join(tmpdir(), "diskomator-bench-"));
try {
  await main();
} finally {
  await rm(scratch, { recursive: true, force: true });
}

async function main(): Promise<void> {
  console.log(describeMachine());
  await build(userCache, appliance, "--update=if-gone");
  const cache = join(scratch, "cache");
  for (const folder of ["debs", "npm"]) {
    await cp(join(userCache, folder), join(cache, folder), { recursive: true });
  }
  const definition = await loadDefinition(appliance);
  const found = await findMkosi();
  const peer = "version" in found ? await Mkosi.of(definition, join(scratch, "peer")) : undefined;
  if (peer) await peer.build("downloads");

  const cold = { ours: [] as Run[], theirs: [] as Run[] };
  const images = new Set<string>();
  for (let i = 0; i < runs; i++) {
    await rm(join(cache, "segments"), { recursive: true, force: true });
    cold.ours.push(await build(cache, appliance));
    images.add((await readManifest()).outputs.map(({ sha256 }) => sha256).join(" "));
    if (peer) cold.theirs.push(await peer.build("downloads"));
  }
  const { outputs } = await readManifest();
  const theirSizeBytes = await peer?.sizeBytes();
  const again = await measureRebuilds(cache, peer);

  const megabytes = (sizeBytes = 0) => `${(sizeBytes / 1e6).toFixed(1)} MB`;
  console.log(`packages downloaded, nothing else cached: ${showRuns(cold.ours)}`);
  console.log(`again after a change to the daemon: ${showRuns(again.ours)}`);
  console.log(`size of the EFI file: ${megabytes(outputs[0]?.sizeBytes)}`);
  console.log(`different images of ${runs} builds: ${images.size}`);
  if ("missing" in found) return console.log(found.missing);
  console.log(`mkosi (${found.version}), only downloads cached: ${showRuns(cold.theirs)}`);
  console.log(`mkosi --incremental, nothing changed: ${showRuns(again.theirs)}`);
  console.log(`mkosi, size of the EFI file: ${megabytes(theirSizeBytes)}`);
}

/** Each time with other code in the daemon. */
async function measureRebuilds(cache: string, peer: Mkosi | undefined) {
  const again = { ours: [] as Run[], theirs: [] as Run[] };
  const path = join(scratch, "changed.ts");
  await cp(appliance.replace(/ts$/, "lock.json"), path.replace(/ts$/, "lock.json"));
  const entry = join(scratch, "daemon.ts");
  await writeFile(path, definitionWith(entry));
  if (peer) await peer.build("incremental");
  for (let i = 0; i < runs; i++) {
    const original = JSON.stringify(join(root, "src/appliance/driver-main.ts"));
    await writeFile(entry, `globalThis.build = ${i};\nawait import(${original});\n`);
    again.ours.push(await build(cache, path));
    if (peer) again.theirs.push(await peer.build("incremental"));
  }
  return again;
}

/** Our appliance with another program as its daemon. */
function definitionWith(entry: string): string {
  const program = { "usr/lib/diskomator/daemon.mjs": { entry } };
  return `import base from ${JSON.stringify(appliance)};
    const filesFrom = ${JSON.stringify(join(root, "appliances/diskomator"))};
    export default { ...base, filesFrom, programs: ${JSON.stringify(program)} };`;
}

function build(cache: string, definition: string, ...args: readonly string[]): Promise<Run> {
  const main = join(root, "src/cli/main.ts");
  const words = ["--cache", cache, "--out", join(scratch, "out"), "--no-ssh-keys", ...args];
  return runNode([main, "build", definition, ...words]);
}

async function readManifest(): Promise<Manifest> {
  return JSON.parse(await readFile(join(scratch, "out/diskomator.manifest.json"), "utf8"));
}
