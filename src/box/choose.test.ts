import assert from "node:assert/strict";
import { test } from "node:test";
import { assertOffered, chooseDisk, type DiskChoice } from "./choose.ts";
import { BoxError } from "./error.ts";
import { sampleDisk } from "./testing/samples.ts";

const system = sampleDisk({ name: "nvme0n1", serial: "S6Z1NJ0W1", label: "root" });
const data = sampleDisk({ name: "sda", serial: "WD-1234", label: "data" });
const twin = sampleDisk({ name: "sdb", serial: "WD-1234", label: "data" });
const stick = {
  ...sampleDisk({ name: "sdc", serial: "STICK" }),
  state: {
    kind: "not exported",
    reason: { code: "boot-medium", text: "this box booted from it" },
  },
} as const satisfies DiskChoice;

const chosen: readonly [wanted: string | undefined, disks: readonly DiskChoice[], name: string][] =
  [
    [undefined, [system, stick], "nvme0n1"],
    ["nvme0n1", [system, data, stick], "nvme0n1"],
    ["/dev/sda", [system, data], "sda"],
    ["S6Z1NJ0W1", [system, data], "nvme0n1"],
    ["s6z1nj0w1", [system, data], "nvme0n1"],
    ["root", [system, data], "nvme0n1"],
    ["data", [system, data], "sda"],
    ["nqn.2026-11.io.diskomator:cd7c3f8f:WD-1234", [system, data], "sda"],
    ["wwid-sdb", [data, twin], "sdb"],
    ["sdc", [system, stick], "sdc"],
  ];
for (const [wanted, disks, name] of chosen) {
  test(`chooseDisk finds ${name} by ${wanted ?? "being the only one"}`, () => {
    assert.equal(chooseDisk(disks, wanted, "lunch-feta").name, name);
  });
}

const refused: readonly [string, string | undefined, readonly DiskChoice[], string, RegExp][] = [
  [
    "none of that name",
    "sdz",
    [system],
    "no-such-disk",
    /called sdz:\n {2}lunch-feta:S6Z1NJ0W1 .* 8\.0 MiB/,
  ],
  [
    "two of one serial",
    "WD-1234",
    [data, twin],
    "ambiguous-disk",
    /2 disks .*\n {2}lunch-feta:sda .*\n {2}lunch-feta:sdb /,
  ],
  ["two of one label", "data", [data, twin], "ambiguous-disk", /2 disks of lunch-feta/],
  ["none named", undefined, [system, data], "ambiguous-disk", /Name a disk .* it has 2:/],
  ["none offered", undefined, [stick], "no-such-disk", /not available: this box booted from it/],
  ["none at all", undefined, [], "no-such-disk", /offers no disk; it has none/],
];
for (const [title, wanted, disks, code, message] of refused) {
  test(`chooseDisk refuses and lists: ${title}`, () => {
    assert.throws(
      () => chooseDisk(disks, wanted, "lunch-feta"),
      (error) => error instanceof BoxError && error.code === code && message.test(error.message),
    );
  });
}

test("assertOffered says why a disk is not available", () => {
  assertOffered(system, "lunch-feta");
  assert.throws(
    () => assertOffered(stick, "lunch-feta"),
    /sdc of lunch-feta: this box booted from it/,
  );
});
