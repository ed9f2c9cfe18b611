/** Commands about boxes as their users run them, against a box in this process. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { MemoryDisk } from "../src/block/index.ts";
import { intruder } from "./driver-fake-boots.ts";
import { type FakeBox, makeFakeUser, startFakeBox } from "./driver-fake-box.ts";

const mebibyte = 1024 * 1024;
const content = randomBytes(2 * mebibyte);

async function readDisk(disk: MemoryDisk, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  await disk.read(0, buffer);
  return buffer;
}

const lastLine = (stdout: string) => JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}");

test("flash, verify and backup take a box and its disk by name, and give the grants back", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1", "S7AA0J002"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, content);
  const flashed = await user.run("flash", image, "lunch-feta:S7AA0J002");
  assert.equal(flashed.exitCode, 0, flashed.stderr);
  assert.match(flashed.stdout, /lunch-feta:S7AA0J002 {2}ok, verified/);
  assert((await readDisk(box.disks[1]!.memory, content.length)).equals(content));
  assert.equal(box.grants.size, 0);

  const verified = await user.run("verify", image, "lunch-feta:nvme1n1");
  assert.equal(verified.exitCode, 0, verified.stderr);
  const plain = await user.run("verify", image, "lunch-feta:nvme1n1", "--no-tls");
  assert.equal(plain.exitCode, 0, plain.stderr);
  const other = await user.run("verify", image, "lunch-feta:nvme0n1");
  assert.equal(other.exitCode, 3, other.stderr);

  const saved = join(user.folder, "saved.raw");
  const backup = await user.run("backup", "lunch-feta:s7aa0j002", saved);
  assert.equal(backup.exitCode, 0, backup.stderr);
  assert((await readFile(saved)).subarray(0, content.length).equals(content));
  const cloned = await user.run("clone", "lunch-feta:nvme1n1", "lunch-feta:nvme0n1");
  assert.equal(cloned.exitCode, 0, cloned.stderr);
  assert((await readDisk(box.disks[0]!.memory, content.length)).equals(content));
  assert.equal(box.grants.size, 0);
});

test("commands end with the codes that the documents give", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1", "S7AA0J002"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port, gone: 1, "README.md": 1 });
  const image = join(user.folder, "os.raw");
  await writeFile(image, content);
  const table: readonly (readonly [number, readonly string[], RegExp])[] = [
    [4, ["flash", image, "lunch-feta"], /Name a disk of lunch-feta: it has 2:\n.*S6Z1NJ0W1/],
    [5, ["flash", image, "lunch-feta:NONE"], /No disk of lunch-feta is called NONE:/],
    [6, ["flash", image, "gone"], /Cannot reach gone: 127\.0\.0\.1 port 1: refused/],
    [6, ["flash", image, "README.md"], /If the file README\.md is meant, write \.\/README\.md/],
    [6, ["ssh", "gone"], /Cannot reach gone/],
    [2, ["ssh"], /Name a box/],
    [2, ["ls", "--what"], /--what/],
    [2, ["connect"], /BOX\[:DISK\]/],
    [2, ["connect", "lunch-feta", "--read-only", "--overlay"], /exclude each other/],
    [2, ["connect", "lunch-feta", "--overlay", "--shared"], /is for what is written to/],
    [2, ["reboot"], /Name a box/],
    [2, ["reboot", ""], /Name a box/],
  ];
  for (const [code, args, message] of table) {
    const { exitCode, stderr } = await user.run(...args);
    assert.equal(exitCode, code, `${args.join(" ")}: ${stderr}`);
    assert.match(stderr, message);
  }
  assert.equal(box.grants.size, 0);
});

test("flash says that its box was booted again meanwhile, and the same command again ends well", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  const large = randomBytes(7 * mebibyte);
  await writeFile(image, large);
  const child = user.start("flash", "-", "lunch-feta");
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  child.stdin?.on("error", () => {});
  const ended = once(child, "close");
  // The first piece is written last.
  const begun = () => readDisk(box.disks[0]!.memory, 3 * mebibyte);
  child.stdin?.write(large.subarray(0, 4 * mebibyte));
  while (
    !(await begun()).subarray(2 * mebibyte).equals(large.subarray(2 * mebibyte, 3 * mebibyte))
  ) {
    await sleep(50);
  }
  box.reboot();
  child.stdin?.end(large.subarray(4 * mebibyte));
  await ended;
  assert.equal(child.exitCode, 6, said);
  assert.match(said, /the connection is lost/);
  assert.match(said, /the box was booted again meanwhile, and has other keys now/);
  assert.match(said, /run the same command again/);
  assert.match(said, /does not boot now; the same command again goes on where it can/);
  const { exitCode, stdout, stderr } = await user.run("flash", image, "lunch-feta", "--yes");
  assert.equal(exitCode, 0, stderr);
  assert.match(stdout, /ok, verified/);
  assert((await readDisk(box.disks[0]!.memory, large.length)).equals(large));
  assert.equal(box.grants.size, 0);
});

test("flash makes no disk bootable to which another host was let in meanwhile", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, content);
  const [disk] = box.disks;
  assert(disk);
  const { openHashed } = disk;
  Object.assign(disk, {
    openHashed: async () => {
      box.grants.set("g9", intruder);
      return await openHashed();
    },
  });
  const { exitCode, stderr } = await user.run("flash", image, "lunch-feta");
  assert.equal(exitCode, 4, stderr);
  assert.match(stderr, /lunch-feta:S6Z1NJ0W1: flash by eve on laptop may write to it, too/);
  assert.match(stderr, /does not boot now; the same command again goes on where it can/);
  assert((await readDisk(disk.memory, 512)).subarray(510).equals(Buffer.alloc(2)));
});

test("flash and reboot leave a disk alone that another host may write to", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, content);
  box.grants.set("g9", intruder);
  for (const args of [
    ["flash", image, "lunch-feta"],
    ["reboot", "lunch-feta"],
    ["poweroff", "lunch-feta"],
  ]) {
    const { exitCode, stderr } = await user.run(...args);
    assert.equal(exitCode, 4, `${args[0]}: ${stderr}`);
    assert.match(stderr, /flash by eve on laptop may write to it/);
  }
  const forced = await user.run("reboot", "lunch-feta", "--force");
  assert.equal(forced.exitCode, 0, forced.stderr);
  assert.equal(box.calls.at(-1), "reboot");
});

const canAttach = process.platform === "linux" && process.getuid?.() === 0;
test("connect attaches no disk that another host was granted at the same time, unless it is shared", {
  skip: !canAttach && "for root on Linux",
}, async () => {
  let box: FakeBox | undefined;
  const onCall = (method: string) => {
    if (method === "grant") box?.grants.set("g9", intruder);
  };
  await using made = await startFakeBox(["S6Z1NJ0W1"], { onCall });
  box = made;
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const { exitCode, stderr } = await user.run("connect", "lunch-feta", "--no-tls");
  assert.equal(exitCode, 4, stderr);
  assert.match(stderr, /Cannot attach nvme0n1 of lunch-feta: flash by eve on laptop may write/);
  // Its own grant is given back.
  assert.deepEqual([...box.grants.keys()], ["g9"]);
  const overlay = await user.run("connect", "lunch-feta", "--overlay", "--shared");
  assert.equal(overlay.exitCode, 2, overlay.stderr);
});

test("ls shows nothing that a terminal would obey, whatever a box says", async () => {
  await using box = await startFakeBox(["S6\x1b[2JZ\x9b1mN"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const shown = await user.run("ls");
  assert.match(shown.stdout, /S6\?\[2JZ\?1mN/);
  const json = await user.run("ls", "--json");
  assert.doesNotMatch(json.stdout.replaceAll("\n", ""), /\p{Cc}/u);
  const { boxes } = JSON.parse(json.stdout.trim().split("\n").at(-1) ?? "{}");
  assert.equal(boxes[0].disks[0].serial, "S6\x1b[2JZ\x9b1mN");
});

test("ls shows known boxes with their disks, and those that do not answer", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port, gone: 1 });
  const { exitCode, stdout, stderr } = await user.run("ls");
  assert.equal(exitCode, 0, stderr);
  const row =
    /^lunch-feta +127\.0\.0\.1 +paired +nvme0n1 +Memory disk +S6Z1NJ0W1 +8\.0 MiB +512 +blank$/m;
  assert.match(stdout, row);
  assert.match(stdout, /^gone +127\.0\.0\.1 +unreachable$/m);
  const json = lastLine((await user.run("ls", "--json")).stdout);
  assert.deepEqual(
    json.boxes.map(({ name, kind }: { name: string; kind: string }) => [name, kind]),
    [
      ["gone", "failed"],
      ["lunch-feta", "open"],
    ],
  );
  assert.equal(json.boxes[1].disks[0].serial, "S6Z1NJ0W1");
  const named = await user.run("ls", "nobody.invalid", "--json");
  assert.equal(named.exitCode, 6, "an address that was asked for does not answer");
  assert.deepEqual(
    [lastLine(named.stdout).outcome, lastLine(named.stdout).exitCode],
    ["failed", 6],
  );
});

test("ls --watch shows what has changed when a box says so", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const child = user.start("ls", "--watch");
  try {
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const until = async (pattern: RegExp) => {
      for (;;) {
        const { value, done } = await lines.next();
        assert(!done, `It ended before ${pattern} came.`);
        if (pattern.test(value)) return;
      }
    };
    await until(/S6Z1NJ0W1 .* blank$/);
    box.grants.set("g9", {
      grant: "g9",
      hostnqn: "nqn.2014-08.org.nvmexpress:other",
      mode: "ro",
      disks: ["nvme0n1"],
      purpose: "backup by eve",
      since: "2026-11-23T12:00:00.000Z",
      expiresAt: null,
      overlay: null,
    });
    box.changed();
    await until(/S6Z1NJ0W1 .* backup by eve \(ro\)$/);
  } finally {
    child.kill("SIGINT");
    await once(child, "close");
  }
  assert.equal(child.exitCode, 0);
  assert.equal(box.calls.filter((method) => method === "disks").length > 1, true);
});

test("ssh ends with the code of its command, and by a signal that only it was sent", async () => {
  await using box = await startFakeBox([]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const program = join(user.folder, "bin/ssh");
  await writeFile(program, "#!/bin/sh\nexit 42\n");
  assert.equal((await user.run("ssh", "lunch-feta", "false")).exitCode, 42);
  await writeFile(program, "#!/bin/sh\necho here\nexec sleep 600\n");
  const child = user.start("ssh", "lunch-feta");
  await once(child.stdout!, "data");
  child.kill("SIGTERM");
  await once(child, "close");
  assert.equal(child.exitCode, 130);
});

test("ls --forget takes a box out of the list of known ones", async () => {
  await using user = await makeFakeUser({ attic: 2222, cellar: 2223 });
  const { exitCode, stderr } = await user.run("ls", "--forget", "attic");
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /1 forgotten, 1 known/);
  const again = await user.run("ls", "--forget", "cellar", "attic");
  assert.equal(again.exitCode, 5);
  assert.match(again.stderr, /Cannot forget attic: .* Known are: cellar\./);
  const known = JSON.parse(
    await readFile(join(user.folder, "config/diskomator/boxes.json"), "utf8"),
  );
  assert.deepEqual(known, {
    boxes: [{ name: "cellar", address: "127.0.0.1", ports: { 22: 2223 } }],
  });
});

test("doctor looks at this machine and says what it found", async () => {
  await using user = await makeFakeUser({});
  const { stdout, stderr } = await user.run("doctor", "--json");
  const { findings } = lastLine(stdout);
  const subjects = findings.map(({ subject }: { subject: string }) => subject);
  for (const subject of ["Node", "SSH client", "SSH key", "QEMU", "Announcements", "Firewall"]) {
    assert(subjects.includes(subject), `${subject} is not among ${subjects}: ${stderr}`);
  }
  const people = await user.run("doctor");
  assert.match(people.stdout, /^ok {6}Node: 24\./m);
});
