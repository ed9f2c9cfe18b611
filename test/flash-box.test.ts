/**
 * Images on the disks of a booted box, written by the command line from outside: the product's own,
 * and an OS image smaller than its disk. Then a machine boots from each disk, without the stick.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FileDisk } from "../src/block/index.ts";
import { inspectGpt } from "../src/disk/index.ts";
import {
  makeScratchDisk,
  makeScratchFolder,
  type ScratchDisk,
  type ScratchFolder,
  startVm,
} from "../src/vm/index.ts";
import { boot, build, Exports, openToAll, stickOf } from "./driver-box.ts";
import { type Ended, root } from "./driver-build.ts";
import { Probe } from "./driver-probe.ts";
import { has, toolEnv } from "./driver-tools.ts";

const mebibyte = 1024 * 1024;
const diskBytes = 512 * mebibyte;
/** What is written where. */
const flashed = [
  { image: "diskomator", kind: "nvme", serial: "FLASH-PRODUCT" },
  { image: "probe", kind: "virtio-blk", serial: "FLASH-OS" },
] as const;

const owned = new AsyncDisposableStack();
let images: ScratchFolder;
const disks = new Map<string, ScratchDisk>();
/** What comes after the writing is of no use without it. */
let isFlashed = false;

before(async () => {
  images = owned.use(await makeScratchFolder());
  for (const { image, serial } of flashed) {
    await build(image, images.path);
    disks.set(serial, owned.use(await makeScratchDisk(diskBytes)));
  }
});

after(() => owned.disposeAsync());

const pathOf = (serial: string) => disks.get(serial)!.path;

/** `diskomator ARGUMENTS`. */
async function run(...args: readonly string[]): Promise<Ended> {
  const main = join(root, "src/cli/main.ts");
  const child = execFile(process.execPath, [main, ...args], { maxBuffer: 64 * mebibyte });
  let [stdout, stderr] = ["", ""];
  child.stdout?.on("data", (text) => {
    stdout += text;
  });
  child.stderr?.on("data", (text) => {
    stderr += text;
  });
  const [code] = await once(child, "close");
  return { code, stdout, stderr };
}

test("flash writes to disks of a box by serial number, and verifies", async () => {
  await using box = await startVm({
    name: "box",
    disks: [
      stickOf(images.path, "diskomator"),
      ...flashed.map(({ kind, serial }) => ({
        id: serial.toLowerCase(),
        kind,
        path: pathOf(serial),
        serial,
      })),
    ],
    nics: [{ network: { kind: "user" } }],
    extraKernelCommandLine: openToAll,
  });
  const port = await box.forward(4420);
  for (const { serial } of flashed) {
    // Disks may be exported before there is a network.
    const line = new RegExp(`nvme connect -t tcp -a 10\\.\\S+ -s 4420 -n \\S+${serial}`);
    await box.waitForSerial(line, boot);
  }
  assert.equal((await (await Exports.of(box)).nqns()).length, flashed.length);
  for (const { image, serial } of flashed) {
    const raw = join(images.path, `${image}.raw`);
    const disk = `127.0.0.1:${port}:${serial}`;
    const written = await run("flash", raw, disk);
    assert.equal(written.code, 0, written.stderr);
    assert.match(written.stdout, /ok, verified[\s\S]*backup GPT moved to the end/);
    const again = await run("flash", raw, disk, "--yes");
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stdout, /ok, verified +0 B written/);
    const compared = await run("verify", raw, disk);
    assert.equal(compared.code, 0, compared.stderr);
  }
  isFlashed = true;
});

test("a flashed disk has a partition table that ends where the disk does, by sgdisk too", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  for (const { serial } of flashed) {
    await using disk = await FileDisk.open(pathOf(serial), { readOnly: true });
    const report = await inspectGpt(disk);
    assert.deepEqual(report.damage, []);
    assert.equal(report.gpt?.backupLba, diskBytes / 512 - 1);
    const judged = await new Promise<string>((resolve, reject) => {
      execFile("sgdisk", ["-v", pathOf(serial)], { env: toolEnv }, (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      );
    });
    assert.match(judged, /No problems found/);
    assert.doesNotMatch(judged, /Warning|Caution|Problem:/);
  }
});

test("the product boots from the disk that it was flashed to", async () => {
  assert.ok(isFlashed, "nothing was flashed");
  await using machine = await startVm({
    name: "product",
    disks: [{ id: "own", kind: "nvme", path: pathOf("FLASH-PRODUCT"), serial: "FLASH-PRODUCT" }],
  });
  const own = /serial FLASH-PRODUCT +not exported: this box booted from it/;
  await machine.waitForSerial(own, boot);
});

test("an OS image boots from the disk that it was flashed to", async () => {
  assert.ok(isFlashed, "nothing was flashed");
  await using machine = await startVm({
    name: "os",
    disks: [{ id: "os", kind: "virtio-blk", path: pathOf("FLASH-OS"), serial: "FLASH-OS" }],
  });
  const probe = await Probe.of(machine);
  await probe.until("lsblk -ndo SERIAL /dev/vda | grep -x FLASH-OS");
});
