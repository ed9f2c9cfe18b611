/** Whether any reset leads back to the box. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FirmwareBoot, judgeComeback, rankComeback } from "./boot-comeback.ts";
import {
  fileOption,
  machine,
  option,
  stickUuid,
  testedUuid,
  withOptions,
} from "./testing/boot-samples.ts";

const installed = withOptions([1, fileOption("stick", stickUuid)]);
const loader = (changes: Partial<FirmwareBoot["loader"]>) => {
  return { loader: { ...machine.loader, ...changes } };
};

const comebacks: readonly [
  name: string,
  changes: Partial<FirmwareBoot>,
  certain: boolean,
  text: RegExp,
][] = [
  ["the first that is no program", {}, true, /^Boot0001 \(stick\) is first/],
  [
    "after one that is switched off",
    { order: [5, 1], ...withOptions([5, option("off", 0)]) },
    true,
    /is first/,
  ],
  ["after a number without an entry", { order: [9, 1, 2] }, true, /is first/],
  ["after another", { order: [2, 1] }, false, /Boot0001 \(stick\), and Boot0002 \(disk\) comes/],
  [
    "after one that cannot be read",
    { order: [4, 1], ...withOptions([4, null]) },
    false,
    /Boot0004 comes/,
  ],
  ["out of the order", { order: [2] }, false, /not in the boot order/],
  ["unknown", { current: null }, false, /does not say/],
  ["of another system", { isKexec: true }, false, /started by another system/],
  [
    "that of a menu in which it was chosen",
    loader({ menu: "systemd-boot 257.13", entry: "diskomator.efi" }),
    false,
    /^systemd-boot 257\.13 started this box \(its entry diskomator\.efi\), and what it starts/,
  ],
  ["that of a menu without a name", loader({ entry: "a" }), false, /^a boot menu started this box/],
  ["on the partition that it was loaded from", installed, true, /is first/],
  [
    "on another partition than it was loaded from",
    { ...installed, ...loader({ partUuid: testedUuid }) },
    false,
    /loaded from partition 7c0f57bd.*, and Boot0001 \(stick\) is on d3cacedf/,
  ],
  [
    "a file in another spelling",
    { ...installed, ...loader({ file: "EFI/Boot/bootx64.efi" }) },
    true,
    /first/,
  ],
  [
    "another file of the same partition",
    { ...installed, ...loader({ file: "\\EFI\\Linux\\diskomator.efi" }) },
    false,
    /loaded from \\EFI\\Linux\\diskomator\.efi, and Boot0001 \(stick\) is \\EFI\\BOOT\\BOOTX64\.EFI/,
  ],
  [
    "shim, which loads but one file",
    { ...installed, ...loader({ file: "\\EFI\\BOOT\\grubx64.efi" }) },
    true,
    /first/,
  ],
  ["of the network, without a partition", loader({ partUuid: null, file: null }), true, /first/],
];

for (const [name, changes, certain, text] of comebacks) {
  test(`judgeComeback: the box's entry is ${name}`, () => {
    const found = judgeComeback({ ...machine, ...changes });
    assert.equal(found.certain, certain, found.text);
    assert.match(found.text, text);
  });
}

test("rankComeback tells first, later and absent apart", () => {
  const ranks = [[1], [2, 1], [2]].map((order) => rankComeback({ ...machine, order }));
  assert.deepEqual(ranks, [2, 1, 0]);
});
