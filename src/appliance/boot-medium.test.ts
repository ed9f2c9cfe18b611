/** The disk that the box booted from, and its clones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type BootClues,
  type BootMemory,
  emptyBootMemory,
  judgeBootMedium,
  parseBootMemory,
} from "./boot-medium.ts";
import type { BlockFacts } from "./facts.ts";
import type { PathNode } from "./firmware-path.ts";
import { takeInventory } from "./inventory.ts";
import { nvmeFacts, stickFacts } from "./testing/facts-samples.ts";

const stickPath: readonly PathNode[] = [
  { kind: "pci", device: 0x14, function: 0 },
  { kind: "usb", port: 2 },
];
const byUuid: BootClues = {
  partitionUuid: "5f0c1b4e-9d6f-4f51-8f7c-0a1b2c3d4e5f",
  firmwarePath: null,
};
const byBoth: BootClues = { ...byUuid, firmwarePath: stickPath };
/** The same image, flashed onto the NVMe disk. */
const clone: BlockFacts = { ...nvmeFacts, partitions: stickFacts.partitions };

function ask(
  facts: readonly BlockFacts[],
  clues: BootClues,
  memory: BootMemory = emptyBootMemory,
  { timeIsUp = false, waitedEnough = false } = {},
) {
  const candidates = facts.map((one) => {
    return { facts: one, identity: takeInventory(one).identity, waitedEnough };
  });
  const result = judgeBootMedium(candidates, clues, memory, timeIsUp);
  return { ...result, verdicts: facts.map(({ name }) => result.verdicts.get(name)) };
}

test("judgeBootMedium knows the disk that loader and firmware agree on", () => {
  const { verdicts, memory } = ask([clone, stickFacts], byBoth);
  assert.deepEqual(verdicts, ["other", "boot"]);
  assert.equal(memory.settled, true);
});

test("judgeBootMedium keeps a clone back that appears before the stick, and frees it then", () => {
  const early = ask([clone], byBoth);
  assert.deepEqual(early.verdicts, ["maybe-boot"]);
  const late = ask([clone, stickFacts], byBoth, early.memory);
  assert.deepEqual(late.verdicts, ["other", "boot"]);
});

test("judgeBootMedium keeps all candidates back when nothing tells them apart", () => {
  const early = ask([clone, stickFacts], byUuid);
  assert.deepEqual(early.verdicts, ["maybe-boot", "maybe-boot"]);
  const late = ask([clone, stickFacts], byUuid, early.memory, { timeIsUp: true });
  assert.deepEqual(late.verdicts, ["maybe-boot", "maybe-boot"]);
  assert.equal(late.memory.settled, true);
});

test("judgeBootMedium settles on the only candidate, whatever is cloned later", () => {
  const { memory } = ask([nvmeFacts, stickFacts], byUuid, emptyBootMemory, { timeIsUp: true });
  assert.deepEqual(ask([clone, stickFacts], byUuid, memory).verdicts, ["other", "boot"]);
  assert.deepEqual(ask([clone], byUuid, memory).verdicts, ["other"], "the stick was pulled");
});

test("judgeBootMedium is not misled by a disk that is flashed before the time is up", () => {
  const early = ask([nvmeFacts, stickFacts], byUuid);
  const late = ask([clone, stickFacts], byUuid, early.memory, { timeIsUp: true });
  assert.deepEqual(late.verdicts, ["other", "boot"]);
});

test("judgeBootMedium prefers candidates that the firmware's path allows", () => {
  const usb3: BootClues = { ...byUuid, firmwarePath: [stickPath[0]!, { kind: "usb", port: 18 }] };
  const { verdicts } = ask([clone, stickFacts], usb3, emptyBootMemory, { timeIsUp: true });
  assert.deepEqual(verdicts, ["other", "boot"]);
});

test("judgeBootMedium waits for partitions that udev has not described", () => {
  const unknown = { ...stickFacts, partitions: [{ name: "sdb1", udev: null }] };
  assert.deepEqual(ask([unknown], byUuid).verdicts, ["waiting"]);
  const waited = { waitedEnough: true };
  assert.deepEqual(ask([unknown], byUuid, emptyBootMemory, waited).verdicts, ["waiting"]);
  const both = { waitedEnough: true, timeIsUp: true };
  assert.deepEqual(ask([unknown], byUuid, emptyBootMemory, both).verdicts, ["other"]);
  const known = ask([stickFacts], byUuid, emptyBootMemory);
  assert.deepEqual(known.verdicts, ["maybe-boot"]);
});

test("judgeBootMedium does not acquit a stick that shows its medium late", () => {
  const empty = { ...stickFacts, sectors512: 0, partitions: [] };
  const { memory } = ask([empty], byUuid);
  assert.deepEqual(ask([stickFacts], byUuid, memory).verdicts, ["maybe-boot"]);
});

test("judgeBootMedium has no boot medium after a network boot", () => {
  const clues: BootClues = { partitionUuid: null, firmwarePath: null };
  assert.deepEqual(ask([clone, stickFacts], clues).verdicts, ["other", "other"]);
});

test("parseBootMemory reads what was written, and nothing else", () => {
  const { memory } = ask([clone, stickFacts], byBoth);
  assert.deepEqual(parseBootMemory(JSON.stringify(memory)), memory);
  for (const text of ["", "null", "[]", `{"settled":1}`, `{"settled":true,"media":[1]}`]) {
    assert.deepEqual(parseBootMemory(text), emptyBootMemory);
  }
});
