/** `run` and `boot` as their users call them, against a box in this process. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { FakeBoots } from "./driver-fake-boots.ts";
import { makeFakeUser, startFakeBox } from "./driver-fake-box.ts";

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
    name: "a box that would not come back",
    boots: { comeback: false },
    args: [],
    exitCode: 4,
    says: [/would not come back by itself: this is what the test says/],
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
