/** `run` and `boot` while others are at work too: what is looked at again, and what is told afterwards. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MemoryDisk } from "../src/block/index.ts";
import {
  encodeGpt,
  inspectGpt,
  partitionTypes,
  planGpt,
  planGptGrowth,
  planGptRelocation,
} from "../src/disk/index.ts";
import { applyGptEdit } from "../src/disk/testing/apply-edit.ts";
import { intruder } from "./driver-fake-boots.ts";
import { type FakeBox, fakeDisk, makeFakeUser, startFakeBox } from "./driver-fake-box.ts";
import { linesOf } from "./driver-json-lines.ts";

const mebibyte = 1024 * 1024;
const blank = { line: "blank", isBlank: true, partitions: [] };
const panic = [{ name: "Panic#1", text: "Kernel panic - not syncing\n" }];

test("run does not boot a disk that another host got to write to meanwhile, unless forced", async () => {
  let box: FakeBox | undefined;
  const onCall = (method: string) => {
    // The image is written, and the box not told yet.
    if (method === "revoke") box?.grants.set("g9", intruder);
  };
  await using made = await startFakeBox(["S6Z1NJ0W1"], { onCall });
  box = made;
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(mebibyte, 7));
  const ended = await user.run("run", image, "lunch-feta");
  assert.equal(ended.exitCode, 4, ended.stderr);
  assert.match(ended.stderr, /Cannot boot lunch-feta now: flash by eve on laptop may write to it/);
  assert(!box.calls.includes("bootOnce"));
  box.grants.clear();
  const forced = await user.run("boot", "lunch-feta", "--force");
  assert.equal(forced.exitCode, 0, forced.stderr);
});

test("flash leaves a disk alone that another host was granted at the same time", async () => {
  let box: FakeBox | undefined;
  const onCall = (method: string) => {
    if (method === "grant") box?.grants.set("g9", intruder);
  };
  await using made = await startFakeBox(["S6Z1NJ0W1"], { onCall });
  box = made;
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(mebibyte, 7));
  const ended = await user.run("flash", image, "lunch-feta");
  assert.equal(ended.exitCode, 4, ended.stderr);
  assert.match(ended.stderr, /it is in use: flash by eve on laptop may write to it/);
  const found = new Uint8Array(512);
  await box.disks[0]?.memory.read(0, found);
  assert.equal(found[0], 0);
});

test("run boots the disk that it wrote, though the box has another one now", async () => {
  let box: FakeBox | undefined;
  const onCall = (method: string) => {
    if (method === "revoke") box?.disks.push(fakeDisk("nvme1n1", "S6Z1NJ0W2"));
  };
  await using made = await startFakeBox(["S6Z1NJ0W1"], { onCall });
  box = made;
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(mebibyte, 7));
  const ended = await user.run("run", image, "lunch-feta", "--json");
  assert.equal(ended.exitCode, 0, ended.stderr);
  const { report, disk, serial } = JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "{}");
  assert.match(report.disk, /:S6Z1NJ0W1$/);
  assert.deepEqual([disk, serial], ["nvme0n1", "S6Z1NJ0W1"]);
});

test("run boots no other disk that is in the place of the one that it wrote", async () => {
  let box: FakeBox | undefined;
  const onCall = (method: string) => {
    const memory = new MemoryDisk({ sizeBytes: 16 * mebibyte });
    const other = { ...fakeDisk("nvme0n1", "S6Z1NJ0W1"), memory, device: memory };
    if (method === "revoke") box?.disks.splice(0, 1, other);
  };
  await using made = await startFakeBox(["S6Z1NJ0W1"], { onCall });
  box = made;
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(mebibyte, 7));
  const ended = await user.run("run", image, "lunch-feta");
  assert.equal(ended.exitCode, 4, ended.stderr);
  assert.match(ended.stderr, /S6Z1NJ0W1 of lunch-feta is not there any more, or is another one/);
  assert(!box.calls.includes("bootOnce"));
});

test("run boots the disk that was called by a label which is written over", async () => {
  const labelled = { number: 1, startBytes: mebibyte, sizeBytes: mebibyte, typeName: "Linux data" };
  const partition = { ...labelled, name: "root", contents: "ext4", label: "root", partUuid: "p" };
  const contents = { line: "GPT", isBlank: false, partitions: [partition] };
  let box: FakeBox | undefined;
  const onCall = (method: string) => {
    const [first, second] = box?.disks ?? [];
    if (method === "revoke" && first && second)
      box?.disks.splice(0, 2, { ...first, contents: blank }, second);
  };
  const labels = { S6Z1NJ0W1: contents };
  await using made = await startFakeBox(["S6Z1NJ0W1", "S6Z1NJ0W2"], { onCall, contents: labels });
  box = made;
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(mebibyte, 7));
  const ended = await user.run("run", image, "lunch-feta:root");
  assert.equal(ended.exitCode, 0, ended.stderr);
  assert.match(ended.stderr, /boots .* of S6Z1NJ0W1 once/);
});

test("run writes nothing where the firmware could not tell the disk from another", async () => {
  const guid = randomUUID();
  const esp = { number: 3, startBytes: mebibyte, sizeBytes: mebibyte, typeName: "EFI system" };
  const partition = { ...esp, name: "esp", contents: "FAT", label: "", partUuid: guid };
  const contents = { line: "GPT", isBlank: false, partitions: [partition] };
  const twins = { contents: { S6Z1NJ0W2: contents } };
  await using box = await startFakeBox(["S6Z1NJ0W1", "S6Z1NJ0W2"], twins);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, imageOf(guid));
  const ended = await user.run("run", image, "lunch-feta:S6Z1NJ0W1");
  assert.equal(ended.exitCode, 4, ended.stderr);
  assert.match(
    ended.stderr,
    /from nvme0n1 \(S6Z1NJ0W1\) of lunch-feta: partition 3 of its disk nvme1n1 \(S6Z1NJ0W2\)/,
  );
  assert(!box.calls.includes("grant"), box.calls.join());
  const forced = await user.run("run", image, "lunch-feta:S6Z1NJ0W1", "--force");
  assert.equal(forced.exitCode, 0, forced.stderr);
  // The disk itself has the image from the last time.
  const again = await user.run("run", image, "lunch-feta:S6Z1NJ0W2");
  assert.equal(again.exitCode, 0, again.stderr);
});

/** A GPT with one EFI system partition. */
function imageOf(guid: string): Uint8Array {
  const gpt = planGpt({
    sizeBytes: 4 * mebibyte,
    sectorSizeBytes: 512,
    diskGuid: randomUUID(),
    partitions: [{ typeGuid: partitionTypes.efiSystem, guid, name: "esp", sizeBytes: mebibyte }],
  });
  const image = new Uint8Array(4 * mebibyte);
  const { mbr, primary, backup } = encodeGpt(gpt);
  for (const { offsetBytes, bytes } of [mbr, ...primary, ...backup]) image.set(bytes, offsetBytes);
  return image;
}

test("boot tells of a crash that nobody waited for, once, and ls shows it", async () => {
  const lastRun = { run: "run-of-yesterday", disk: "S6Z1NJ0W1", crashes: panic };
  await using box = await startFakeBox(["S6Z1NJ0W1"], { lastRun });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const listed = await user.run("ls");
  assert.match(listed.stdout, /lunch-feta: its last run \(of S6Z1NJ0W1.*\) crashed: Panic#1/);
  const { boxes } = JSON.parse((await user.run("ls", "--json")).stdout);
  assert.equal(boxes[0].lastRun.crashes[0].text, panic[0]?.text);
  const told = /The run before this one \(of S6Z1NJ0W1, begun at .*\):\n[\s\S]* {4}Kernel panic/;
  const first = await user.run("boot", "lunch-feta", "--until", "port:80");
  assert.equal(first.exitCode, 2, first.stderr);
  const second = await user.run("boot", "lunch-feta");
  assert.equal(second.exitCode, 0, second.stderr);
  assert.match(second.stderr, told);
  // What was waited for is known, too.
  const third = await user.run("boot", "lunch-feta");
  assert.doesNotMatch(third.stderr, /The run before this one/);
});

test("boot --json has the run before as a line of its own", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"], { lastRun: { problems: ["Lost entry."] } });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const ended = await user.run("boot", "lunch-feta", "--json");
  const first = JSON.parse(ended.stdout.split("\n")[0] ?? "{}");
  assert.equal(first.event, "earlier-run");
  assert.deepEqual(first.report.problems, ["Lost entry."]);
});

test("boot that is interrupted while the box is told says what may become of the box", async () => {
  const ordered = Promise.withResolvers<void>();
  const onCall = (method: string) => {
    if (method === "bootOnce") ordered.resolve();
  };
  await using box = await startFakeBox(["S6Z1NJ0W1"], { isMute: true, onCall });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const child = user.start("boot", "lunch-feta", "--json");
  const lines = linesOf(child);
  await ordered.promise;
  child.kill("SIGINT");
  const { message, exitCode } = await lines.find(({ event }) => event === "result");
  assert.equal(exitCode, 130);
  assert.match(
    String(message),
    /had not answered: it may boot it now\. Any reset brings lunch-feta back/,
  );
});

test("boot whose channel is lost while the box is told says so, too", async () => {
  let box: FakeBox | undefined;
  const onCall = (method: string) => {
    if (method === "bootOnce") box?.reboot();
  };
  await using made = await startFakeBox(["S6Z1NJ0W1"], { isMute: true, onCall });
  box = made;
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const ended = await user.run("boot", "lunch-feta");
  assert.equal(ended.exitCode, 6, ended.stderr);
  assert.match(ended.stderr, /it may boot it now\. Any reset brings lunch-feta back/);
});

test("boot that is interrupted when the box is back says nothing of the way back", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const child = user.start("boot", "lunch-feta", "--json", "--exec", "echo ready; exec sleep 60");
  const lines = linesOf(child);
  await lines.says(/ready/);
  child.kill("SIGINT");
  const { message } = await lines.find(({ event }) => event === "result");
  assert.equal(message, "Interrupted.");
});

test("run --yes goes on with a disk whose image has grown its partition at its first boot", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, imageOf(randomUUID()));
  const first = await user.run("run", image, "lunch-feta", "--yes");
  assert.equal(first.exitCode, 0, first.stderr);
  const { memory } = box.disks[0]!;
  const whole = planGptRelocation(await inspectGpt(memory), memory);
  await applyGptEdit(memory, whole);
  await applyGptEdit(memory, planGptGrowth(whole));
  const flashed = await user.run("flash", image, "lunch-feta", "--yes");
  assert.equal(flashed.exitCode, 4, flashed.stderr);
  const second = await user.run("run", image, "lunch-feta", "--yes");
  assert.equal(second.exitCode, 0, second.stderr);
  // What is no image of ours any more is another matter.
  await memory.write(0, new Uint8Array(8 * mebibyte).fill(5));
  const third = await user.run("run", image, "lunch-feta", "--yes");
  assert.equal(third.exitCode, 4, third.stderr);
});

test("run --watch asks for the confirmation of a disk once, whatever the image makes of it", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(mebibyte, 1));
  const child = user.start("run", image, "lunch-feta", "--watch", "--json");
  const lines = linesOf(child);
  const isEnd = ({ outcome }: { readonly outcome?: unknown }) =>
    outcome === "met" || outcome === "failed";
  assert.equal((await lines.find(isEnd)).outcome, "met");
  await box.disks[0]?.memory.write(0, new Uint8Array(8 * mebibyte).fill(5));
  await writeFile(image, Buffer.alloc(mebibyte, 2));
  const { outcome, message } = await lines.find(isEnd);
  assert.equal(outcome, "met", String(message));
  child.kill("SIGINT");
  assert.equal(await lines.exitCode, 0);
});

test("boot --json ends with what a program needs: where, which, and how the command ended", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const resultOf = async (...args: readonly string[]) => {
    const { stdout } = await user.run("boot", "lunch-feta", "--json", ...args);
    const all = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const { run } = all.find(({ event }) => event === "booting");
    assert.equal(all.at(-1).run, run);
    return all.at(-1);
  };
  const failed = await resultOf("--exec", "exit 9");
  assert.deepEqual(failed.command, { exitCode: 9, signal: null });
  const { box: name, disk, serial, address, report } = failed;
  assert.deepEqual([name, disk, serial], ["lunch-feta", "nvme0n1", "S6Z1NJ0W1"]);
  assert.equal(address, "127.0.0.1");
  assert.equal(report.run, failed.run);
  const killed = await resultOf("--exec", "kill -KILL $$");
  assert.deepEqual(killed.command, { exitCode: null, signal: "SIGKILL" });
  assert.match(killed.message, /was ended by SIGKILL/);
  assert.equal((await resultOf()).command, null);
});

test("boot shows the last lines of a console when it ends otherwise than was hoped for", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"], { isLost: true });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const log = join(user.folder, "serial.log");
  await writeFile(log, "before\n");
  const words = ["--until", "ssh", "--console", log, "--timeout", "4"];
  const child = user.start("boot", "lunch-feta", ...words);
  const lines = linesOf(child);
  await lines.says(/went down/);
  await appendFile(log, "Kernel panic - not syncing\nend trace");
  assert.equal(await lines.exitCode, 6);
  await lines.says(/last lines of its console:\n {2}Kernel panic - not syncing\n {2}end trace\n/);
});

test("boot tells how often the machine booted, and for how long the box was gone", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const ended = await user.run("boot", "lunch-feta");
  assert.match(ended.stderr, /Boots: 2, the box's included; it was gone for 1 min 15 s\./);
});

test("boot --until port is refused where nothing leads to that port, and nobody else is asked", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const ended = await user.run("boot", "lunch-feta", "--until", "port:80");
  assert.equal(ended.exitCode, 2, ended.stderr);
  assert.match(ended.stderr, /behind forwarded ports, and none leads to its port 80/);
  assert(!box.calls.includes("bootOnce"));
});

test("run --watch says that a power command failed, and runs one again that brought nothing back", async () => {
  await using files = await makeFakeUser({});
  const reset = join(files.folder, "reset");
  await using box = await startFakeBox(["S6Z1NJ0W1"], { isLost: reset });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const [image, log, count] = ["os.raw", "serial.log", "count"].map((name) =>
    join(user.folder, name),
  ) as [string, string, string];
  await writeFile(image, Buffer.alloc(mebibyte, 1));
  await writeFile(log, "");
  const watch = ["--watch", "--json", "--yes", "--until", "text:up", "--timeout", "3"];
  // The first time it does nothing.
  const power = `echo x >> ${count}; test $(wc -l < ${count}) -lt 2 || touch ${reset}`;
  const more = ["--console", log, "--power-command", power];
  const child = user.start("run", image, "lunch-feta", ...watch, ...more);
  const lines = linesOf(child);
  await lines.find(({ phase }) => phase === "left");
  await appendFile(log, "up\n");
  await lines.find(({ outcome }) => outcome === "met");
  await writeFile(image, Buffer.alloc(mebibyte, 2));
  await lines.find(({ event, round }) => event === "round" && round === 2);
  assert.equal(await readFile(count, "utf8"), "x\nx\n");
  child.kill("SIGINT");
  await lines.exitCode;
});
