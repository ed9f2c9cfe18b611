/** What is written so that a disk boots once, and what is set right afterwards. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  chooseEntry,
  entryDescription,
  type FirmwareBoot,
  judgeComeback,
  parseNote,
  planBootOnce,
  planReturn,
  type RunNote,
} from "./boot-once.ts";
import { parseLoadOption, parseNumbers } from "./boot-option.ts";

const path = Uint8Array.of(0x7f, 0xff, 4, 0);
const option = (description: string, attributes = 1) => ({ attributes, description, path });

/** The machine of the tests: a menu, the stick of the box, a disk. */
const machine: FirmwareBoot = {
  options: new Map([
    [0, option("UiApp", 0x109)],
    [1, option("stick")],
    [2, option("disk")],
  ]),
  order: [0, 1, 2],
  current: 1,
  next: null,
  bootCount: 7,
  isKexec: false,
};

const note: RunNote = {
  run: "6c0f57bd-7e5c",
  disk: "S6Z1NJ0W1",
  at: "2026-11-23T12:00:00.000Z",
  entry: 3,
  order: [0, 1, 2],
  bootCount: 5,
};

const comebacks: readonly [
  name: string,
  changes: Partial<FirmwareBoot>,
  certain: boolean,
  text: RegExp,
][] = [
  ["the first that is no program", {}, true, /^Boot0001 \(stick\) is first/],
  ["after one that is switched off", { order: [5, 1], ...withOption(5, 0) }, true, /is first/],
  ["after a number without an entry", { order: [9, 1, 2] }, true, /is first/],
  ["after another", { order: [2, 1] }, false, /Boot0001 \(stick\), and Boot0002 \(disk\) comes/],
  ["after one that cannot be read", { order: [4, 1], ...withNull(4) }, false, /Boot0004 comes/],
  ["out of the order", { order: [2] }, false, /not in the boot order/],
  ["unknown", { current: null }, false, /does not say/],
  ["of another system", { isKexec: true }, false, /started by another system/],
];

function withOption(number: number, attributes: number): Pick<FirmwareBoot, "options"> {
  return { options: new Map([...machine.options, [number, option("off", attributes)]]) };
}

function withNull(number: number): Pick<FirmwareBoot, "options"> {
  return { options: new Map([...machine.options, [number, null]]) };
}

for (const [name, changes, certain, text] of comebacks) {
  test(`judgeComeback: the box's entry is ${name}`, () => {
    const found = judgeComeback({ ...machine, ...changes });
    assert.equal(found.certain, certain);
    assert.match(found.text, text);
  });
}

test("chooseEntry takes one of ours again, else the lowest that nobody uses or names", () => {
  assert.equal(chooseEntry(machine), 3);
  assert.equal(chooseEntry({ ...machine, order: [0, 1, 2, 3] }), 4);
  const ours = new Map([...machine.options, [9, option(entryDescription)] as const]);
  assert.equal(chooseEntry({ ...machine, options: ours }), 9);
});

test("planBootOnce writes the note first and BootNext last, and never BootOrder", () => {
  const place = {
    partition: 1,
    firstLba: 2048,
    sectors: 100,
    file: "\\EFI\\BOOT\\BOOTX64.EFI",
    partUuid: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  };
  const steps = planBootOnce(note, place);
  assert.deepEqual(
    steps.map(({ name }) => name),
    ["DiskomatorRun", "Boot0003", "BootNext"],
  );
  const [kept, entry, next] = steps.map(({ data }) => data ?? new Uint8Array());
  assert.deepEqual(parseNote(kept!), note);
  assert.equal(parseLoadOption(entry!)?.description, entryDescription);
  assert.deepEqual(parseNumbers(next!), [3]);
});

test("planBootOnce writes nothing but the note where the box starts the kernel itself", () => {
  const place = { partition: 1, firstLba: 2048, sectors: 100, file: "\\X.EFI", partUuid: "" };
  const [kept, ...others] = planBootOnce({ ...note, entry: null }, place);
  assert.deepEqual(others, []);
  assert.equal(kept?.name, "DiskomatorRun");
  assert.deepEqual(parseNote(kept.data ?? new Uint8Array()), { ...note, entry: null });
});

const ours = new Map([...machine.options, [3, option(entryDescription)] as const]);
const back: FirmwareBoot = { ...machine, options: ours };
const returns: readonly [
  name: string,
  found: FirmwareBoot,
  steps: readonly string[],
  facts: Readonly<Record<string, unknown>>,
][] = [
  ["nothing else changed", back, ["Boot0003", "DiskomatorRun"], { boots: 2, orderIgnored: false }],
  [
    "the order was changed",
    { ...back, order: [3, 0, 1, 2] },
    ["BootOrder", "Boot0003", "DiskomatorRun"],
    { isOrderChanged: true },
  ],
  [
    "BootNext is still there",
    { ...back, next: 3, bootCount: 6 },
    ["BootNext", "Boot0003", "DiskomatorRun"],
    { orderIgnored: true, boots: 1 },
  ],
  ["somebody else's BootNext", { ...back, next: 2 }, ["Boot0003", "DiskomatorRun"], {}],
  ["the entry is lost", machine, ["DiskomatorRun"], { isEntryLost: true }],
  [
    "the number was taken by another entry",
    { ...machine, options: new Map([...machine.options, [3, option("Linux Boot Manager")]]) },
    ["DiskomatorRun"],
    { isEntryLost: true },
  ],
  [
    "nothing counts boots",
    { ...back, bootCount: null },
    ["Boot0003", "DiskomatorRun"],
    { boots: null },
  ],
];

for (const [name, found, steps, facts] of returns) {
  test(`planReturn: ${name}`, () => {
    const plan = planReturn(found, note);
    assert.deepEqual(
      plan?.steps.map((step) => step.name),
      steps,
    );
    for (const [key, value] of Object.entries(facts)) {
      assert.deepEqual(plan?.[key as keyof typeof plan], value, key);
    }
    const order = plan?.steps.find((step) => step.name === "BootOrder")?.data;
    if (order) assert.deepEqual(parseNumbers(order), note.order);
  });
}

test("planReturn leaves everything to the box where this is the system under test", () => {
  assert.equal(planReturn({ ...back, current: 3 }, note), null);
  assert.equal(planReturn({ ...back, isKexec: true }, { ...note, entry: null }), null);
  assert.notEqual(planReturn({ ...back, isKexec: true }, note), null);
});

test("planReturn after kexec removes the note, restores the order, and misses no entry", () => {
  const jumped = { ...note, entry: null };
  const plan = planReturn({ ...machine, order: [2, 0, 1], bootCount: 6 }, jumped);
  assert.deepEqual(
    plan?.steps.map(({ name }) => name),
    ["BootOrder", "DiskomatorRun"],
  );
  const { orderIgnored, isEntryLost, isOrderChanged, boots } = plan;
  const facts = { orderIgnored, isEntryLost, isOrderChanged, boots };
  const wanted = { orderIgnored: false, isEntryLost: false, isOrderChanged: true, boots: 1 };
  assert.deepEqual(facts, wanted);
  assert.deepEqual(
    planReturn({ ...machine, next: 2 }, jumped)?.steps.map(({ name }) => name),
    ["DiskomatorRun"],
  );
});

test("parseNote gives null for what is no note", () => {
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  for (const wrong of [null, {}, { ...note, entry: 70000 }, { ...note, order: "0001" }]) {
    assert.equal(parseNote(text(wrong)), null);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (data) => parseNote(data) === null),
    { seed: 20261123, numRuns: 200 },
  );
});
