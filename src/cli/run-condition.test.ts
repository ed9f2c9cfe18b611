/** What a run waits for, and what its end means. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunReport } from "../rpc/index.ts";
import { UsageError } from "./exit.ts";
import {
  describeReport,
  describeTwins,
  judgeRun,
  parseUntil,
  type RunOutcome,
  type Seen,
  wayBack,
} from "./run-condition.ts";

const report: RunReport = {
  run: "6c0f57bd-7e5c",
  disk: "S6Z1NJ0W1",
  startedAt: "2026-11-23T12:00:00.000Z",
  returnedAt: "2026-11-23T12:01:00.000Z",
  boots: 2,
  orderIgnored: false,
  bootOrder: { outcome: "same", wanted: ["0001"], found: ["0001"] },
  crashes: [],
  problems: [],
};
const comeback = { certain: true, text: "Boot0001 is first in the boot order" };

function returned(changes: Partial<RunReport> = {}): Seen {
  const rest = { secureBoot: false, firmwareMs: null, loaderMs: null, underTest: null };
  const state = { comeback, ...rest, lastRun: { ...report, ...changes } };
  return { leftMs: 2000, met: null, returned: { afterMs: 60_000, state } };
}

const crashes = [{ name: "Panic#1", text: "one\ntwo\n" }];
const ssh = { kind: "ssh", port: 22 } as const;
const back = { kind: "return" } as const;
const text = { kind: "text", pattern: /login:/ } as const;
const line = "x login: ";
const address = { afterMs: 9, address: "192.0.2.7" };
const met: Seen = { leftMs: 1, met: address, returned: null };
const gone: Seen = { ...met, met: null };
const table: readonly [
  name: string,
  condition: Parameters<typeof judgeRun>[0],
  seen: Seen,
  outcome: RunOutcome,
  exitCode: number,
  text: RegExp,
][] = [
  ["SSH answers", ssh, met, "met", 0, /SSH answered at 192\.0\.2\.7/],
  ["a port answers", { kind: "port", port: 80 }, met, "met", 0, /Port 80 answered/],
  ["the box is back", back, returned(), "met", 0, /^The box is back\.$/],
  [
    "nothing counts boots",
    back,
    returned({ boots: null }),
    "met",
    0,
    /^The box is back; whether the disk was booted is not known: this firmware counts no boots\.$/,
  ],
  [
    "back without SSH, and nothing counts boots",
    ssh,
    returned({ boots: null }),
    "came-back",
    1,
    /did not answer before; whether the disk was booted is not known/,
  ],
  ["back without SSH", ssh, returned(), "came-back", 1, /SSH did not answer before/],
  ["back after a crash", back, returned({ crashes }), "crashed", 1, /\(Panic#1\)/],
  ["the console showed it", text, { ...met, met: { ...address, line } }, "met", 0, /x login: $/],
  ["back without the text", text, returned(), "came-back", 1, /login:\/ was not on the console/],
  ["back by power", back, { ...returned(), isPowerUsed: true }, "hung", 1, /no end within 600 s/],
  [
    "crashed, and reset",
    ssh,
    { ...returned({ crashes }), isPowerUsed: true },
    "crashed",
    1,
    /Panic/,
  ],
  [
    "gone for good",
    back,
    { ...gone, isPowerUsed: true },
    "never-came-back",
    6,
    /not after the power/,
  ],
  ["one boot, the box's own", back, returned({ boots: 1 }), "not-booted", 1, /did not boot/],
  ["one boot after kexec", back, returned({ boots: 1, kexec: true }), "met", 0, /is back/],
  ["no boot after kexec", ssh, returned({ boots: 0, kexec: true }), "not-booted", 1, /not go down/],
  ["a crash after kexec", ssh, returned({ crashes, boots: 1, kexec: true }), "crashed", 1, /crash/],
  ["BootNext is left", ssh, returned({ orderIgnored: true }), "not-booted", 1, /still set/],
  ["it crashed under SSH", ssh, returned({ crashes, boots: 2 }), "crashed", 1, /crashed/],
  ["it never went", back, { ...met, met: null, leftMs: null }, "never-left", 6, /within 600 s/],
  ["it is gone", back, { ...met, met: null }, "never-came-back", 6, /not come back within 600 s/],
];

for (const [name, condition, seen, outcome, exitCode, text] of table) {
  test(`judgeRun: ${name}`, () => {
    const verdict = judgeRun(condition, seen, 600_000);
    assert.equal(verdict.outcome, outcome);
    assert.equal(verdict.exitCode, exitCode);
    assert.match(verdict.text, text);
  });
}

const booted: readonly [name: string, seen: Seen, isBooted: boolean | null][] = [
  ["two boots", returned(), true],
  ["the box's own boot alone", returned({ boots: 1 }), false],
  ["the box's own boot, and a crash that may be its own", returned({ boots: 1, crashes }), null],
  ["BootNext is left", returned({ boots: null, orderIgnored: true }), false],
  ["nothing counts boots", returned({ boots: null }), null],
  ["by kexec, and one boot back", returned({ boots: 1, kexec: true }), null],
  ["by kexec, and no boot", returned({ boots: 0, kexec: true }), false],
  ["what it waited for", met, true],
  ["nobody knows yet", gone, null],
];

for (const [name, seen, isBooted] of booted) {
  test(`judgeRun: whether the disk was booted: ${name}`, () => {
    assert.equal(judgeRun(back, seen, 600_000).isBooted, isBooted);
  });
}

test("parseUntil reads conditions, and refuses ports that say nothing", () => {
  assert.deepEqual(parseUntil("return"), { kind: "return" });
  assert.deepEqual(parseUntil("ssh"), ssh);
  assert.deepEqual(parseUntil("port:22"), ssh);
  assert.deepEqual(parseUntil("port:8080"), { kind: "port", port: 8080 });
  assert.deepEqual(parseUntil("text:log[io]n: "), { kind: "text", pattern: /log[io]n: /u });
  for (const wrong of [
    "",
    "text:",
    "text:(",
    "port:",
    "port:0",
    "port:70000",
    "port:4420",
    "port:08",
    "login",
  ]) {
    assert.throws(() => parseUntil(wrong), UsageError, wrong);
  }
});

test("describeReport says nothing of a run as it should be, and all else", () => {
  assert.deepEqual(describeReport(report), []);
  const lines = describeReport({
    ...report,
    boots: 4,
    bootOrder: { outcome: "restored", wanted: ["0001", "0002"], found: ["0003", "0001"] },
    crashes,
    problems: ["The boot entry Boot0003 was lost or overwritten."],
  });
  assert.deepEqual(lines, [
    "The machine booted 4 times in between, the box's own boot included.",
    "BootOrder was changed to 0003,0001 and was restored: 0001,0002.",
    "Problem: The boot entry Boot0003 was lost or overwritten.",
    "Panic#1, the end of the kernel's log:",
    "  one",
    "  two",
  ]);
});

test("describeReport says what was left as it is", () => {
  const bootOrder = { outcome: "kept" as const, wanted: ["0001"], found: ["0002", "0001"] };
  assert.deepEqual(describeReport({ ...report, bootOrder }), [
    "BootOrder is 0002,0001 and was 0001 before the run; it was left as it is.",
  ]);
});

const advice: readonly [name: string, changes: Partial<RunReport>, text: RegExp][] = [
  ["an entry that was lost", { boots: 1, entryLost: true }, /--append-entry puts this one/],
  ["a lost entry, and nobody counts", { boots: null, entryLost: true }, /--append-entry/],
  ["a lost entry, after it had booted", { boots: 2, entryLost: true }, /^$/],
  ["one that was lost all the same", { boots: 1, entryLost: true, appendEntry: true }, /^$/],
  ["a full path in vain", { boots: 1, devicePath: "full" }, /by its partition alone/],
  ["a full path that booted", { devicePath: "full" }, /^$/],
  ["a full path that nobody looked at", { devicePath: "full", orderIgnored: true }, /^$/],
  ["a short path in vain", { boots: 1, devicePath: "short" }, /^$/],
];

for (const [name, changes, text] of advice) {
  test(`describeReport advises on ${name}`, () => {
    assert.match(describeReport({ ...report, ...changes }).join("\n"), text);
  });
}

test("describeTwins tells of disks that carry the same image", () => {
  const path = "\\EFI\\BOOT\\BOOTX64.EFI";
  const prepared = { entry: "0003", path, partUuid: "7c0f57bd", comeback };
  assert.deepEqual(describeTwins(prepared), []);
  const [line, ...others] = describeTwins({ ...prepared, twins: ["sda", "sdb"] });
  assert.deepEqual(others, []);
  assert.match(line ?? "", /^Note: sda and sdb have a partition of the same PARTUUID \(7c0f57bd\)/);
});

test("describeReport says that a kernel was started without the firmware, and counts so", () => {
  const [first, ...rest] = describeReport({ ...report, kexec: true, boots: 1 });
  assert.match(first ?? "", /no boot by the firmware/);
  assert.deepEqual(rest, []);
  assert.match(describeReport({ ...report, kexec: true, boots: 2 })[1] ?? "", /booted 2 times/);
});

test("wayBack does not promise what the firmware will not do", () => {
  assert.match(wayBack("lunch-feta", comeback), /^Any reset brings lunch-feta back/);
  const uncertain = { certain: false, text: "Boot0002 comes before it" };
  assert.match(wayBack("lunch-feta", uncertain), /^Nothing brings .* Boot0002 comes before it/);
});
