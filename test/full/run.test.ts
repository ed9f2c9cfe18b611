/**
 * The loop on a machine with OVMF: an image is written to a disk of a box, booted once, and the box
 * comes back by itself; with images that are well, that crash, that hang, and that are none.
 */

import assert from "node:assert/strict";
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { assembleExtents, encodeGpt, partitionTypes, planGpt } from "../../src/disk/index.ts";
import { makeScratchDisk, makeScratchFolder, startVm, type Vm } from "../../src/vm/index.ts";
import { boot, build, stickOf } from "../driver-box.ts";
import { type OwnCommands, ownCommands } from "../driver-own-commands.ts";

const mebibyte = 1024 * 1024;
const diskBytes = 256 * mebibyte;
const serial = "RUN-OS";
/** Three boots on a busy machine. */
const timeout = ["--timeout", "500"];

/** What `counter.then` may be. */
type Ending = "reboot" | "order" | "stay" | "panic" | "hang";

const owned = new AsyncDisposableStack();
let folder = "";
let disk = "";
let box: Vm;
let owner: OwnCommands;

before(async () => {
  folder = owned.use(await makeScratchFolder()).path;
  disk = owned.use(await makeScratchDisk(diskBytes)).path;
  owner = await ownCommands(join(folder, "owner"));
  const out = join(folder, "out");
  const built = await owner.run("build", "--access", "paired", "--out", out);
  assert.equal(built.code, 0, built.stderr);
  // Nothing tells the firmware what to boot but its own variables, which it keeps.
  const { bootIndex: _first, ...stick } = stickOf(out, "diskomator");
  box = owned.use(
    await startVm({
      name: "box",
      disks: [stick, { id: "os", kind: "nvme", path: disk, serial }],
      nics: [{ network: { kind: "user" } }],
      ...(process.env.DISKOMATOR_SERIAL_LOG
        ? { serialLogPath: process.env.DISKOMATOR_SERIAL_LOG }
        : {}),
    }),
  );
  const ports = { 22: await box.forward(22), 4420: await box.forward(4420) };
  await owner.know("lunch-feta", "127.0.0.1", ports);
});

after(() => owned.disposeAsync());

/** A counter image that ends so; each is another one. */
async function imageOf(then: Ending, name: string): Promise<string> {
  const out = join(folder, name);
  await mkdir(out);
  const kernelParameters = [`counter.then=${then}`, `counter.name=${name}`];
  await build("counter", out, { kernelParameters });
  return join(out, "counter.raw");
}

/** What stands in the middle of the disk. */
async function readCounter(): Promise<string> {
  await using file = await open(disk);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, diskBytes / 2);
  return buffer.toString("latin1", 0, bytesRead).replaceAll("\0", "").trim();
}

/** When the box was booted; waits until it answers. */
async function bootedAt(): Promise<string> {
  for (const late = AbortSignal.timeout(2 * boot.timeoutMs); ; await sleep(2000)) {
    const { boxes = [] } = await owner.json("ls", "--timeout", "60");
    const [found] = boxes as { kind: string; bootedAt?: string }[];
    if (found?.kind === "open" && found.bootedAt !== undefined) return found.bootedAt;
    if (late.aborted) assert.fail(`The box does not answer:\n${box.serialLastLines()}`);
  }
}

async function run(image: string, ...args: readonly string[]) {
  return await owner.json("run", image, `lunch-feta:${serial}`, "--yes", ...timeout, ...args);
}

test("run boots an image once, and the box is back", async () => {
  await bootedAt();
  const ended = await run(await imageOf("reboot", "first"));
  assert.equal(ended.outcome, "met", JSON.stringify(ended));
  assert.equal(ended.exitCode, 0);
  assert.equal(await readCounter(), "counter 1 first");
  assert.equal(ended.report.boots, 2);
  assert.equal(ended.report.bootOrder.outcome, "same");
  assert.deepEqual(ended.report.problems, []);
});

test("an image that changes the boot order ran too, and the order is what it was", async () => {
  const ended = await run(await imageOf("order", "second"));
  assert.equal(ended.outcome, "met", JSON.stringify(ended));
  assert.equal(await readCounter(), "counter 2 second");
  const { bootOrder, problems } = ended.report;
  assert.equal(bootOrder.outcome, "restored");
  assert.equal(bootOrder.found.length, bootOrder.wanted.length + 1);
  assert.deepEqual(problems, []);
  const words = ["--", "cat /sys/firmware/efi/efivars/BootOrder-*; ls /sys/firmware/efi/efivars"];
  const { stdout } = await owner.run("ssh", "lunch-feta", ...words);
  const order = Buffer.from(stdout, "latin1").subarray(4, 4 + 2 * bootOrder.wanted.length);
  const numbers = bootOrder.wanted.map((number: string) => Number.parseInt(number, 16));
  assert.deepEqual([...new Uint16Array(new Uint8Array(order).buffer)], numbers);
  assert.doesNotMatch(stdout, /BootNext|DiskomatorRun/);
});

test("run --until ssh waits for the image's own server, and runs a command then", async () => {
  const words = ["--until", "ssh", "--exec", "test $DISKOMATOR_ADDRESS = 127.0.0.1"];
  const ended = await run(await imageOf("stay", "third"), ...words);
  assert.equal(ended.outcome, "met", JSON.stringify(ended));
  assert.equal(ended.exitCode, 0);
  assert.match(ended.back, /Any reset brings lunch-feta back/);
  await bootedAt();
  assert.equal(await readCounter(), "counter 3 third");
});

test("an image without an EFI system partition is refused, and nothing is booted", async () => {
  const gpt = planGpt({
    sizeBytes: 8 * mebibyte,
    sectorSizeBytes: 512,
    diskGuid: "6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90",
    partitions: [
      {
        typeGuid: partitionTypes.linuxData,
        guid: "7c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90",
        name: "root",
        sizeBytes: 4 * mebibyte,
      },
    ],
  });
  const { mbr, primary, backup } = encodeGpt(gpt);
  const image = join(folder, "none.raw");
  await writeFile(image, assembleExtents([mbr, ...primary, ...backup], 8 * mebibyte));
  const since = await bootedAt();
  const ended = await run(image);
  assert.equal(ended.exitCode, 4, JSON.stringify(ended));
  assert.match(ended.message, /no EFI system partition/);
  assert.equal(await bootedAt(), since);
});

test("a panic is told of, with what the kernel said last", async () => {
  const ended = await run(await imageOf("panic", "fourth"));
  assert.equal(ended.outcome, "crashed", JSON.stringify(ended));
  assert.equal(ended.exitCode, 1);
  assert.match(ended.report.crashes[0].text, /counter: panic of fourth[\s\S]*Kernel panic/);
  const { stdout } = await owner.run("ssh", "lunch-feta", "--", "ls /sys/fs/pstore");
  assert.equal(stdout, "");
});

test("a system that hangs is told of with the way back, which a reset is", async () => {
  const image = await imageOf("hang", "fifth");
  const running = run(image, "--timeout", "90");
  await box.waitForSerial("counter: boot 5 of fifth", boot);
  const ended = await running;
  assert.equal(ended.outcome, "never-came-back", JSON.stringify(ended));
  assert.equal(ended.exitCode, 6);
  assert.match(ended.back, /Any reset brings lunch-feta back/);
  await box.reset();
  await bootedAt();
  const report = "/run/diskomator/last-run.json";
  const look = `until test -s ${report}; do sleep 1; done; cat ${report}`;
  const { stdout } = await owner.run("ssh", "lunch-feta", "--", look);
  const { disk: name, boots, crashes } = JSON.parse(stdout);
  assert.deepEqual({ name, boots, crashes }, { name: serial, boots: 2, crashes: [] });
});
