import assert from "node:assert/strict";
import { test } from "node:test";
import type { BoxDescription, DiskView, GrantView, RunReport } from "../rpc/index.ts";
import type { BoxLook } from "./box-look.ts";
import { formatLooked } from "./box-table.ts";

const at = "2026-11-23T12:00:00.000Z";

function description(fullName: string): BoxDescription {
  return {
    rpc: 1,
    name: "lunch-feta",
    fullName,
    box: "cd7c3f8f",
    version: "0.1.0",
    access: "paired",
    readOnly: false,
    addresses: [],
    tls: true,
    bootMedium: "sda",
    ports: { nvme: 4420, discovery: 8009, readOnly: 4421 },
    problems: [],
    startedAt: at,
    bootedAt: at,
    now: at,
  };
}

function disk(name: string, state: DiskView["state"], changes: Partial<DiskView> = {}): DiskView {
  return {
    name,
    state,
    model: "Model",
    serial: `S-${name}`,
    firmware: "1",
    transport: "nvme",
    sizeBytes: 2 ** 30,
    blockSizeBytes: 512,
    path: "",
    readOnly: false,
    identity: { kind: "serial", value: name, weak: false },
    contents: { line: "blank", isBlank: true, partitions: [] },
    traffic: null,
    health: null,
    ...changes,
  };
}

const exported: DiskView["state"] = { kind: "exported", nqn: "n", uuid: "u", since: at, tookMs: 1 };
const kept: DiskView["state"] = {
  kind: "not exported",
  reason: { code: "boot-medium", text: "this box booted from it" },
};

function box(address: string, fullName: string, changes: Partial<BoxLook> = {}): BoxLook {
  const about = { name: "lunch-feta", address, from: "announced" } as const;
  const open = { kind: "open", disks: [], grants: [], peers: [], lastRun: null } as const;
  return { ...about, ...open, description: description(fullName), ...changes } as BoxLook;
}

const grant: GrantView = {
  grant: "g1",
  hostnqn: "nqn.x",
  disks: ["nvme0n1"],
  mode: "ro",
  since: at,
  purpose: "backup by ann on desk",
  expiresAt: null,
  overlay: null,
};

test("formatLooked aligns a row for each disk, and names its box once", () => {
  const disks = [
    disk("nvme0n1", exported),
    disk("sda", kept, { contents: null }),
    disk("sdb", { kind: "failing", error: "I/O error" }, { blockSizeBytes: 4096 }),
    disk("sdc", exported, { readOnly: true, contents: null }),
  ];
  const looked = {
    boxes: [box("10.0.0.17", "lunch-feta-olive", { disks, grants: [grant] })],
    foreign: [],
  };
  assert.deepEqual(formatLooked(looked), [
    "BOX         ADDRESS    ACCESS  DISK     MODEL  SERIAL     SIZE     BLOCK  CONTENTS                              ATTACHED",
    "lunch-feta  10.0.0.17  paired  nvme0n1  Model  S-nvme0n1  1.0 GiB  512    blank                                 backup by ann on desk (ro)",
    "                               sda      Model  S-sda      1.0 GiB  512    not offered: this box booted from it",
    "                               sdb      Model  S-sdb      1.0 GiB  4096   failing: I/O error",
    "                               sdc      Model  S-sdc      1.0 GiB  512    ? (read-only)",
  ]);
});

test("formatLooked tells boxes of one name apart by their longer names", () => {
  const boxes = [box("10.0.0.1", "lunch-feta-olive"), box("10.0.0.2", "lunch-feta-thyme")];
  const lines = formatLooked({ boxes, foreign: [] });
  assert.match(lines[1] ?? "", /^lunch-feta-olive +10\.0\.0\.1 +paired +no disks$/);
  assert.match(lines[2] ?? "", /^lunch-feta-thyme /);
});

test("formatLooked lists what is not ours, what failed and what is no box, and says why", () => {
  const about = { address: "10.0.0.9", from: "announced" } as const;
  const boxes: BoxLook[] = [
    {
      ...about,
      name: "amber-plum",
      kind: "not ours",
      code: "not-ours",
      message: "It has other keys.",
    },
    { ...about, name: "attic", kind: "failed", code: "unreachable", message: "Nothing answers." },
  ];
  const array = { kind: "discovery", name: "array", port: 8009, text: new Map() } as const;
  const foreign = [{ ...array, addresses: ["fd00::1"] }];
  assert.deepEqual(formatLooked({ boxes, foreign }).slice(1), [
    "amber-plum  10.0.0.9  not ours",
    "attic       10.0.0.9  unreachable",
    "Another NVMe discovery controller: array at [fd00::1]:8009",
    "amber-plum: It has other keys.",
    "attic: Nothing answers.",
  ]);
});

test("formatLooked has nothing to say of nothing", () => {
  assert.deepEqual(formatLooked({ boxes: [], foreign: [] }), []);
});

test("formatLooked tells of a run that ended otherwise than was hoped for, and of no other", () => {
  const report: RunReport = {
    run: "r",
    disk: "S-nvme0n1",
    startedAt: at,
    returnedAt: at,
    boots: 2,
    orderIgnored: false,
    bootOrder: { outcome: "same", wanted: ["0001"], found: ["0001"] },
    crashes: [],
    problems: [],
  };
  const lines = (lastRun: RunReport) =>
    formatLooked({ boxes: [box("10.0.0.17", "lunch-feta-olive", { lastRun })], foreign: [] });
  assert.equal(lines(report).length, 2);
  const bootOrder = { ...report.bootOrder, outcome: "restored" as const };
  const crashes = [{ name: "Panic#1", text: "Kernel panic" }];
  assert.equal(
    lines({ ...report, crashes, bootOrder }).at(-1),
    `lunch-feta: its last run (of S-nvme0n1, back at ${at}) crashed: Panic#1; changed the boot ` +
      'order, which was restored. "diskomator ls --json" has all of it.',
  );
});
