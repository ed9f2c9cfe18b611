/**
 * `diskomator ls` with one box: how long it takes, and what it costs the box.
 *
 * `npm run bench ls [RUNS]` (7 unless told). In QEMU; without KVM under TCG, where logging in over SSH
 * is most of it. The box's time is that of its processor, as /proc/stat counts it, beside that of a box
 * that nobody asks anything for as long.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeScratchDisk, makeScratchFolder, startVm } from "../src/vm/index.ts";
import { boot, openShell, stickOf } from "../test/driver-box.ts";
import { describeMachine } from "./machine.ts";
import { type Run, runNode, showRuns } from "./timing.ts";

const diskBytes = 64 * 1024 * 1024;
const ticksPerSecond = 100;
/** What boots after the disks has ended by then. */
const settleMs = 20_000;
/** Between two lists. */
const pauseMs = 5000;
const runs = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 7);
const main = join(import.meta.dirname, "../src/cli/main.ts");

await using home = await makeScratchFolder();
const configuration = join(home.path, "config");
const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
const env = {
  ...process.env,
  HOME: home.path,
  XDG_CONFIG_HOME: configuration,
  XDG_CACHE_HOME: cache,
};
await runNode([main, "build", "--out", home.path], env);

await using disk = await makeScratchDisk(diskBytes);
await using box = await startVm({
  name: "bench",
  memoryMiB: 768,
  disks: [
    stickOf(home.path, "diskomator"),
    { id: "nvme", kind: "nvme", path: disk.path, serial: "BENCH" },
  ],
  nics: [{ network: { kind: "user" } }],
});
console.log(`${describeMachine()}, ${box.accelerator}`);
const ports = { 22: await box.forward(22) };
await mkdir(join(configuration, "diskomator"), { recursive: true });
const known = { boxes: [{ name: "bench", address: "127.0.0.1", ports }] };
await writeFile(join(configuration, "diskomator/boxes.json"), JSON.stringify(known));
await box.waitForSerial(/serial BENCH +exported/, boot);
const privatePath = join(configuration, "diskomator/id_ed25519");
const key = { privatePath, publicKey: "", [Symbol.asyncDispose]: async () => {} };
const shell = await openShell(box, key);
await sleep(settleMs);

/** Time that the box's processor was not idle. */
async function busyMs(): Promise<number> {
  const line = await shell.succeed("head -1 /proc/stat");
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line
    .split(/\s+/)
    .map(Number);
  return ((user + nice + system + irq + softirq) * 1000) / ticksPerSecond;
}

/** What the box does while `body` runs, and a pause after it. */
async function costOf(body: () => Promise<void>): Promise<number> {
  const before = await busyMs();
  await body();
  await sleep(pauseMs);
  return (await busyMs()) - before;
}

const lists: Run[] = [];
const costs = { idle: [] as number[], list: [] as number[] };
for (let run = 0; run < runs; run++) {
  const list = async () => void lists.push(await runNode([main, "ls"], env));
  costs.list.push(await costOf(list));
  const lasted = lists.at(-1)?.wallMs ?? 0;
  costs.idle.push(await costOf(() => sleep(lasted)));
}
console.log(`ls: ${showRuns(lists)}`);
for (const [what, values] of Object.entries(costs)) {
  const sorted = values.toSorted((a, b) => a - b);
  console.log(
    `the box's processor, ${what}: median ${sorted[runs >> 1]} ms of ${sorted.join(", ")}`,
  );
}
