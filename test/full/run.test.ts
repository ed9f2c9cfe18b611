/**
 * The loop on a machine with OVMF: an image is written to a disk of a box, booted once, and the box
 * comes back by itself; with images that are well, that change the boot order, and that are none.
 */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { assembleExtents, encodeGpt, partitionTypes, planGpt } from "../../src/disk/index.ts";
import { RunBox } from "../driver-run-box.ts";

const mebibyte = 1024 * 1024;

let box: RunBox;
before(async () => {
  box = await RunBox.start();
});
after(() => box?.[Symbol.asyncDispose]());

test("run boots an image once, and the box is back", async () => {
  await box.bootedAt();
  const ended = await box.run(await box.imageOf("reboot", "first"));
  assert.equal(ended.outcome, "met", JSON.stringify(ended));
  assert.equal(ended.exitCode, 0);
  assert.equal(await box.readCounter(), "counter 1 first");
  assert.equal(ended.isBooted, true);
  assert.equal(ended.report.boots, 2);
  assert.equal(ended.report.bootOrder.outcome, "same");
  assert.deepEqual(ended.report.problems, []);
  // The firmware itself has an option for the disk, and booted it by the path that it has there.
  assert.equal(ended.report.devicePath, "full");
});

test("an image that changes the boot order ran too, and the order is what it was", async () => {
  const ended = await box.run(await box.imageOf("order", "second"));
  assert.equal(ended.outcome, "met", JSON.stringify(ended));
  assert.equal(await box.readCounter(), "counter 2 second");
  const { bootOrder, problems } = ended.report;
  assert.equal(bootOrder.outcome, "restored");
  assert.equal(bootOrder.found.length, bootOrder.wanted.length + 1);
  assert.deepEqual(problems, []);
  const stdout = await box.shell(
    "cat /sys/firmware/efi/efivars/BootOrder-*; ls /sys/firmware/efi/efivars",
  );
  const order = Buffer.from(stdout, "latin1").subarray(4, 4 + 2 * bootOrder.wanted.length);
  const numbers = bootOrder.wanted.map((number: string) => Number.parseInt(number, 16));
  assert.deepEqual([...new Uint16Array(new Uint8Array(order).buffer)], numbers);
  assert.doesNotMatch(stdout, /BootNext|DiskomatorRun/);
});

test("run --until ssh waits for the image's own server, and runs a command then", async () => {
  const words = ["--until", "ssh", "--exec", "test $DISKOMATOR_ADDRESS = 127.0.0.1"];
  const ended = await box.run(await box.imageOf("stay", "third"), ...words);
  assert.equal(ended.outcome, "met", JSON.stringify(ended));
  assert.equal(ended.exitCode, 0);
  assert.match(ended.back, /Any reset brings lunch-feta back/);
  await box.bootedAt();
  assert.equal(await box.readCounter(), "counter 3 third");
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
  const image = join(box.folder, "none.raw");
  await writeFile(image, assembleExtents([mbr, ...primary, ...backup], 8 * mebibyte));
  const since = await box.bootedAt();
  const ended = await box.run(image);
  assert.equal(ended.exitCode, 4, JSON.stringify(ended));
  assert.match(ended.message, /no EFI system partition/);
  assert.equal(await box.bootedAt(), since);
});
