/** `run` and `boot` as their users call them, against a box in this process. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { appendFile, open, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { FakeBoots } from "./driver-fake-boots.ts";
import { makeFakeUser, startFakeBox } from "./driver-fake-box.ts";
import { linesOf } from "./driver-json-lines.ts";

interface Scenario {
  readonly name: string;
  readonly boots: FakeBoots;
  readonly args: readonly string[];
  readonly exitCode: number;
  readonly says: readonly RegExp[];
}

const scenarios: readonly Scenario[] = [
  {
    name: "a box that is back",
    boots: {},
    args: [],
    exitCode: 0,
    says: [/The box is back\. {2}shut/],
  },
  {
    name: "a command that is run when it is so",
    boots: {},
    args: ["--exec", "echo at $DISKOMATOR_ADDRESS; exit 9"],
    exitCode: 1,
    says: [/at 127\.0\.0\.1\n/, /ended with 9/],
  },
  {
    name: "SSH that never answered",
    boots: {},
    args: ["--until", "ssh"],
    exitCode: 1,
    says: [/back, and SSH did not answer before/],
  },
  {
    name: "a box that stays away",
    boots: { isLost: true },
    args: ["--timeout", "4"],
    exitCode: 6,
    says: [/did not come back within 4 s/, /Any reset brings lunch-feta back/],
  },
  {
    name: "a crash, with what the kernel said last",
    boots: { report: { crashes: [{ name: "Panic#1", text: "Kernel panic - not syncing\n" }] } },
    args: [],
    exitCode: 1,
    says: [/Panic#1, the end of the kernel's log:\n {2}Kernel panic - not syncing\n/],
  },
  {
    name: "a boot order that was restored",
    boots: { report: { bootOrder: { outcome: "restored", wanted: ["0001"], found: ["0009"] } } },
    args: [],
    exitCode: 0,
    says: [/BootOrder was changed to 0009 and was restored: 0001/],
  },
  {
    name: "a firmware that did not do what it was told",
    boots: { report: { boots: 1 } },
    args: [],
    exitCode: 1,
    says: [/The firmware did not boot the disk/],
  },
  {
    name: "an entry at the end of the boot order, and of a disk with the same image",
    boots: { twins: ["sdb"] },
    args: ["--append-entry"],
    exitCode: 0,
    says: [/Note: sdb has a partition of the same PARTUUID/, /The entry was the last of the order/],
  },
  {
    name: "a box that would not come back",
    boots: { comeback: false },
    args: [],
    exitCode: 4,
    says: [/would not come back by itself: this is what the test says/],
  },
  {
    name: "a kernel that the box started itself, and what is not as in a real boot",
    boots: { passedOver: "\\EFI\\BOOT\\BOOTX64.EFI: it is shim 15.8 and has no kernel in it" },
    args: ["--kexec"],
    exitCode: 0,
    says: [
      /--kexec is not the same as a real boot:\n(?: {2}- .+\n){6}/,
      /starts the kernel of \\EFI\\BOOT\\BOOTX64\.EFI of S6Z1NJ0W1 once/,
      /is taken, and not what firmware loads\. \\EFI\\BOOT\\BOOTX64\.EFI: it is shim 15\.8/,
      /This was no boot by the firmware/,
      /The box is back\. {2}shut/,
    ],
  },
  {
    name: "a box that starts no kernel itself",
    boots: { kexecObstacle: "Secure Boot is on" },
    args: ["--kexec"],
    exitCode: 4,
    says: [/cannot start another kernel: Secure Boot is on\. Without --kexec the firmware boots/],
  },
  {
    name: "a box that is too old to start a kernel itself",
    boots: { kexecObstacle: "older" },
    args: ["--kexec"],
    exitCode: 4,
    says: [/cannot start another kernel: its image is older than this; build it anew/],
  },
];

for (const { name, boots, args, exitCode, says } of scenarios) {
  test(`boot tells of ${name}`, async () => {
    await using box = await startFakeBox(["S6Z1NJ0W1"], boots);
    await using user = await makeFakeUser({ "lunch-feta": box.port });
    const ended = await user.run("boot", "lunch-feta", ...args);
    assert.equal(ended.exitCode, exitCode, ended.stderr);
    for (const text of says) assert.match(ended.stderr + ended.stdout, text);
    assert.equal(box.calls.includes("bootOnce"), exitCode !== 4);
  });
}

test("run writes the image, verifies it, and boots it; its last line is the result", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(2 * 1024 * 1024, 7));
  const ended = await user.run("run", image, "lunch-feta", "--json");
  assert.equal(ended.exitCode, 0, ended.stderr);
  const result = JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "{}");
  assert.equal(result.outcome, "met");
  assert.equal(result.report.boots, 2);
  assert.deepEqual(Object.keys(result.seconds), ["flash", "boot"]);
  assert.deepEqual(box.grants.size, 0);
});

test("run --kexec --json tells what differs, what was loaded, and that it was no real boot", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(1024 * 1024, 7));
  const ended = await user.run("run", image, "lunch-feta", "--json", "--kexec");
  assert.equal(ended.exitCode, 0, ended.stderr);
  const lines = ended.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const [first] = lines;
  assert.equal(first.event, "kexec");
  const topics = first.differences.map(({ topic }: { topic: string }) => topic);
  assert(topics.includes("loader-variables") && topics.includes("measurements"), topics.join());
  const { entry, kexec } = lines.find(({ event }) => event === "booting");
  assert.equal(entry, null);
  assert.deepEqual(kexec, {
    passedOver: null,
    commandLine: "quiet",
    kernelBytes: 1000,
    initrdBytes: 2000,
  });
  const { outcome, report } = lines.at(-1);
  assert.deepEqual([outcome, report.kexec, report.boots], ["met", true, 1]);
});

test("run --kexec writes nothing where the box does not start another kernel", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"], { kexecObstacle: "Secure Boot is on" });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(1024 * 1024, 7));
  const ended = await user.run("run", image, "lunch-feta", "--kexec");
  assert.equal(ended.exitCode, 4, ended.stderr);
  assert(!box.calls.includes("grant") && !box.calls.includes("bootOnce"), box.calls.join());
});

test("run boots nothing when the image cannot be written, or is not for a box", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const missing = await user.run("run", join(user.folder, "none.raw"), "lunch-feta");
  assert.equal(missing.exitCode, 1, missing.stderr);
  assert.match(missing.stderr, /Nothing was booted/);
  const local = await user.run("run", "os.raw", "/dev/null");
  assert.equal(local.exitCode, 2, local.stderr);
  assert(!box.calls.includes("bootOnce"));
});

test("a power command ends what comes to no end, and the box is waited for once more", async () => {
  await using user = await makeFakeUser({});
  const file = join(user.folder, "reset");
  await using box = await startFakeBox(["S6Z1NJ0W1"], { isLost: file });
  await using owner = await makeFakeUser({ "lunch-feta": box.port });
  const words = ["--timeout", "4", "--power-command", `test $DISKOMATOR_BOX && touch ${file}`];
  const ended = await owner.run("boot", "lunch-feta", "--json", ...words);
  assert.equal(ended.exitCode, 1, ended.stderr);
  const result = JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "{}");
  assert.equal(result.outcome, "hung");
  assert.equal(result.report.boots, 2);
  assert.match(result.message, /came to no end within 4 s\. The power command was run/);
  assert.deepEqual(Object.keys(result.seconds), ["boot", "power"]);
});

test("a power command that fails is told of, with the way back", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"], { isLost: true });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const words = ["--timeout", "4", "--power-command", "exit 3"];
  const ended = await user.run("boot", "lunch-feta", ...words);
  assert.equal(ended.exitCode, 6, ended.stderr);
  assert.match(ended.stderr, /The power command ended with 3[\s\S]*Any reset brings/);
});

test("boot --until text ends when the console shows it, with the line", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"], { isLost: true });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const log = join(user.folder, "serial.log");
  await writeFile(log, "up at last: before\n");
  const words = ["--until", "text:up at \\w+", "--console", log];
  const child = user.start("boot", "lunch-feta", "--json", ...words);
  const lines = linesOf(child);
  await lines.find(({ event, phase }) => event === "phase" && phase === "left");
  await using file = await open(log, "a");
  await file.write("kernel: hello\nup at last: 3");
  const result = await lines.find(({ event }) => event === "result");
  assert.equal(result.outcome, "met");
  assert.match(String(result.message), /The console showed: up at last: 3/);
  assert.equal(await lines.exitCode, 0);
});

test("a console that cannot be listened to is refused before anything is booted", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const words = ["--until", "text:x", "--console", join(user.folder, "none.log")];
  const ended = await user.run("boot", "lunch-feta", ...words);
  assert.equal(ended.exitCode, 4, ended.stderr);
  assert(!box.calls.includes("bootOnce"));
  const alone = await user.run("boot", "lunch-feta", "--until", "text:x");
  assert.equal(alone.exitCode, 2, alone.stderr);
});

test("run --watch runs again whenever the image was written, and never half of it", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const image = join(user.folder, "os.raw");
  const half = 1024 * 1024;
  await writeFile(image, Buffer.alloc(2 * half, 1));
  const words = ["--watch", "--json", "--confirm", "S6Z1NJ0W1"];
  const child = user.start("run", image, "lunch-feta", ...words);
  const lines = linesOf(child);
  const roundEnds = async () => {
    const { outcome } = await lines.find(({ outcome: one }) => one === "met" || one === "failed");
    assert.equal(outcome, "met");
  };
  await roundEnds();
  // Renamed over it.
  await writeFile(`${image}.new`, Buffer.alloc(2 * half, 2));
  await rename(`${image}.new`, image);
  await lines.find(({ event, round }) => event === "round" && round === 2);
  await roundEnds();
  // Written in place, with a rest in between.
  {
    await using file = await open(image, "r+");
    await file.write(Buffer.alloc(half, 3), 0, half, 0);
    await sleep(2500);
    await file.write(Buffer.alloc(half, 3), 0, half, half);
  }
  await lines.find(({ event, round }) => event === "round" && round === 3);
  await roundEnds();
  child.kill("SIGINT");
  assert.equal(await lines.exitCode, 0);
  const found = Buffer.alloc(half);
  for (const at of [0, half]) {
    await box.disks[0]?.memory.read(at, found);
    assert(found.equals(Buffer.alloc(half, 3)), `at ${at}`);
  }
  assert.equal(box.calls.filter((method) => method === "bootOnce").length, 3);
});

test("run --watch brings a box back that the round before has left away", async () => {
  await using files = await makeFakeUser({});
  const reset = join(files.folder, "reset");
  await using box = await startFakeBox(["S6Z1NJ0W1"], { isLost: reset });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const [image, log] = [join(user.folder, "os.raw"), join(user.folder, "serial.log")];
  await writeFile(image, Buffer.alloc(1024 * 1024, 1));
  await writeFile(log, "");
  const words = ["--watch", "--json", "--confirm", "S6Z1NJ0W1", "--until", "text:up"];
  const more = ["--console", log, "--power-command", `touch ${reset}`];
  const child = user.start("run", image, "lunch-feta", ...words, ...more);
  const lines = linesOf(child);
  await lines.find(({ phase }) => phase === "left");
  await appendFile(log, "up\n");
  await lines.find(({ outcome }) => outcome === "met");
  assert(!existsSync(reset));
  await writeFile(image, Buffer.alloc(1024 * 1024, 2));
  await lines.find(({ event, round }) => event === "round" && round === 2);
  assert(existsSync(reset));
  await lines.find(({ outcome }) => outcome === "came-back");
  child.kill("SIGINT");
  assert.equal(await lines.exitCode, 0);
});

test("ls remembers network cards, and wake sends to them", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const early = await user.run("wake", "lunch-feta");
  assert.equal(early.exitCode, 5, early.stderr);
  assert.equal((await user.run("ls")).exitCode, 0);
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const heard = once(socket, "message");
  const to = `127.0.0.1:${socket.address().port}`;
  const woken = await user.run("wake", "lunch-feta", "--to", to);
  assert.equal(woken.exitCode, 0, woken.stderr);
  assert.match(woken.stdout, /52:54:00:12:34:56 at 127\.0\.0\.1/);
  const [packet] = await heard;
  assert.equal(packet.toString("hex").slice(0, 24), "ffffffffffff525400123456");
  socket.close();
});

test("boot --wake wakes only what does not answer, and whose cards are known", async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port, away: 9 });
  const there = await user.run("boot", "lunch-feta", "--wake");
  assert.equal(there.exitCode, 0, there.stderr);
  const away = await user.run("boot", "away", "--wake");
  assert.equal(away.exitCode, 5, away.stderr);
  assert.match(away.stderr, /Cannot wake away: its network cards are not known/);
});

test("run of two boxes writes both, boots both, and tells of each and of all", async () => {
  await using one = await startFakeBox(["S6Z1NJ0W1"]);
  await using other = await startFakeBox(["S6Z1NJ0W2"], { report: { boots: 1 } });
  await using user = await makeFakeUser({ "lunch-feta": one.port, "soup-olive": other.port });
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(1024 * 1024, 7));
  const ended = await user.run("run", image, "lunch-feta", "soup-olive", "--json");
  assert.equal(ended.exitCode, 7, ended.stderr);
  const lines = ended.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const boxes = lines
    .filter(({ event }) => event === "box")
    .map((line) => [line.box, line.outcome]);
  assert.deepEqual(Object.fromEntries(boxes), {
    "lunch-feta": "met",
    "soup-olive": "not-booted",
  });
  const codes = {
    boxes: [
      { box: "lunch-feta", exitCode: 0 },
      { box: "soup-olive", exitCode: 1 },
    ],
  };
  const all = { event: "result", outcome: "failed", exitCode: 7, ...codes };
  assert.deepEqual(lines.at(-1), all);
  for (const { disks } of [one, other]) {
    const found = new Uint8Array(512);
    await disks[0]?.memory.read(0, found);
    assert.equal(found[0], 7);
  }
});

test("what speaks against one of two boxes speaks against both", async () => {
  await using one = await startFakeBox(["S6Z1NJ0W1"]);
  await using other = await startFakeBox(["S6Z1NJ0W2"], { comeback: false });
  await using user = await makeFakeUser({ "lunch-feta": one.port, "soup-olive": other.port });
  const ended = await user.run("boot", "lunch-feta", "soup-olive");
  assert.equal(ended.exitCode, 4, ended.stderr);
  assert(![...one.calls, ...other.calls].includes("bootOnce"));
  const twice = await user.run("boot", "lunch-feta:nvme0n1", "lunch-feta:nvme1n1");
  assert.equal(twice.exitCode, 2, twice.stderr);
});

test("run refuses --append-entry with --kexec, which makes no entry", async () => {
  await using user = await makeFakeUser({});
  const ended = await user.run("run", "os.raw", "lunch-feta", "--kexec", "--append-entry");
  assert.equal(ended.exitCode, 2, ended.stderr);
  assert.match(ended.stderr, /--kexec makes no boot entry/);
});
