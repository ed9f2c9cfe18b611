/** What the box sets right when it is back, and what it leaves alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FirmwareBoot } from "./boot-comeback.ts";
import type { RunNote } from "./boot-note.ts";
import { entryDescription } from "./boot-once.ts";
import { parseNumbers } from "./boot-option.ts";
import { planReturn, type ReturnPlan } from "./boot-return.ts";
import { machine, note, option, testedUuid, withOptions } from "./testing/boot-samples.ts";

const [menu, stick, disk] = [option("UiApp", 0x109), option("stick"), option("disk")];
const ours = option(entryDescription);
const image = option("Linux Boot Manager");
const back: FirmwareBoot = { ...machine, ...withOptions([3, ours]) };
const tidy = ["Boot0003", "DiskomatorRun"];

/** That machine after its firmware gave other numbers. */
function numbered(
  options: readonly (readonly [number: number, option: typeof stick])[],
  order: readonly number[],
  current: number,
): FirmwareBoot {
  return { ...machine, options: new Map(options), order, current };
}

interface Row {
  readonly name: string;
  readonly found: FirmwareBoot;
  readonly noted?: Partial<RunNote>;
  readonly steps: readonly string[];
  readonly facts?: Partial<ReturnPlan>;
  /** What is written to BootOrder. */
  readonly order?: readonly number[];
  readonly problems?: RegExp;
}

const rows: readonly Row[] = [
  {
    name: "nothing else changed",
    found: back,
    steps: tidy,
    facts: { boots: 2, orderIgnored: false, order: "same" },
  },
  {
    name: "the order was changed",
    found: { ...back, order: [3, 0, 1, 2] },
    steps: ["BootOrder", ...tidy],
    order: [0, 1, 2],
    facts: { order: "restored" },
  },
  {
    name: "BootNext is still there",
    found: { ...back, next: 3, bootCount: 6 },
    steps: ["BootNext", ...tidy],
    facts: { orderIgnored: true, boots: 1 },
  },
  { name: "somebody else's BootNext", found: { ...back, next: 2 }, steps: tidy },
  {
    name: "the entry is lost",
    found: machine,
    steps: ["DiskomatorRun"],
    facts: { isEntryLost: true },
    problems: /^The boot entry Boot0003 was lost or overwritten\.$/,
  },
  {
    name: "the number was taken by another entry",
    found: { ...machine, ...withOptions([3, image]) },
    steps: ["DiskomatorRun"],
    facts: { isEntryLost: true },
    problems: /Boot0003 was lost/,
  },
  {
    name: "the number was taken by the entry that this box came from",
    found: { ...machine, ...withOptions([3, stick]), current: 3 },
    steps: ["DiskomatorRun"],
    facts: { isEntryLost: true },
    problems: /Boot0003 was lost/,
  },
  {
    name: "so it was, and the box's medium carries the image under test",
    found: {
      ...machine,
      ...withOptions([3, stick]),
      current: 3,
      loader: { ...machine.loader, partUuid: testedUuid },
    },
    steps: ["DiskomatorRun"],
    facts: { isEntryLost: true },
    problems: /Boot0003 was lost/,
  },
  {
    name: "BootCurrent is still that of an entry that did not boot",
    found: { ...back, current: 3 },
    steps: tidy,
  },
  {
    name: "it came by the network, and BootCurrent is stale",
    found: { ...back, current: 3, loader: { ...machine.loader, partUuid: null } },
    steps: tidy,
  },
  {
    name: "nothing counts boots",
    found: { ...back, bootCount: null },
    steps: tidy,
    facts: { boots: null },
  },
  {
    name: "the count was set back",
    found: { ...back, bootCount: 1 },
    steps: tidy,
    facts: { boots: null },
  },
  {
    name: "the stick and the disk have each other's numbers, and nothing else changed",
    found: numbered(
      [
        [0, menu],
        [2, stick],
        [1, disk],
        [3, ours],
      ],
      [0, 2, 1],
      2,
    ),
    steps: tidy,
    facts: { order: "same" },
  },
  {
    name: "they have other numbers, and the image put itself first",
    found: numbered(
      [
        [0, menu],
        [2, stick],
        [1, disk],
        [3, ours],
        [7, image],
      ],
      [7, 0, 2, 1],
      2,
    ),
    steps: ["BootOrder", ...tidy],
    order: [0, 2, 1],
    facts: { order: "restored", wanted: [0, 2, 1] },
  },
  {
    name: "the entry of a disk that was pulled is gone, and the image put itself first",
    found: numbered(
      [
        [0, menu],
        [1, stick],
        [3, ours],
        [7, image],
      ],
      [7, 0, 1],
      1,
    ),
    steps: ["BootOrder", ...tidy],
    order: [0, 1],
    facts: { order: "restored" },
    problems: /^Boot0002 of the boot order is there no more\.$/,
  },
  {
    name: "the entry of a disk that was pulled is gone, and nothing else changed",
    found: numbered(
      [
        [0, menu],
        [1, stick],
        [3, ours],
      ],
      [0, 1],
      1,
    ),
    steps: tidy,
    facts: { order: "kept" },
    problems: /Boot0002 of the boot order is there no more/,
  },
  {
    name: "the stick has an entry that was not there, and its number is the disk's",
    found: numbered(
      [
        [0, option("stick, port 4")],
        [1, disk],
        [3, ours],
      ],
      [0, 1],
      0,
    ),
    noted: { order: note.order.slice(1) },
    steps: tidy,
    facts: { order: "kept", wanted: [1, 2] },
    problems:
      /Boot0001 of the boot order is another entry now: Boot0001 \(disk\)\.\nBootOrder was left as it is: with what it was, this box booted from Boot0000 \(stick, port 4\), which is not/,
  },
  {
    name: "no entry of the order is what it was",
    found: numbered(
      [
        [4, option("new")],
        [3, ours],
      ],
      [4],
      4,
    ),
    steps: tidy,
    facts: { order: "kept" },
    problems: /Boot0000 of.*\nBoot0001 of.*\nBoot0002 of/,
  },
  {
    name: "the note has an empty order",
    found: back,
    noted: { order: [] },
    steps: tidy,
    facts: { order: "kept" },
  },
  {
    name: "two entries are the same, and their numbers others",
    found: numbered(
      [
        [0, menu],
        [4, stick],
        [5, stick],
        [2, disk],
        [3, ours],
      ],
      [2, 0, 4, 5],
      4,
    ),
    steps: tidy,
    facts: { order: "kept" },
    problems: /Boot0001 of the boot order is there no more\.\nBootOrder was left as it is/,
  },
  {
    name: "the box need not come back, and the user has changed the order since",
    found: { ...back, order: [2, 0, 1] },
    noted: { noReturn: true },
    steps: tidy,
    facts: { order: "kept", wanted: [0, 1, 2] },
  },
  {
    name: "the entry was appended",
    found: { ...back, order: [0, 1, 2, 3] },
    noted: { isAppended: true },
    steps: ["BootOrder", ...tidy],
    order: [0, 1, 2],
    facts: { order: "same" },
  },
  {
    name: "the entry was appended, and firmware dropped it all the same",
    found: machine,
    noted: { isAppended: true },
    steps: ["DiskomatorRun"],
    facts: { order: "same", isEntryLost: true },
    problems: /Boot0003 was lost/,
  },
  {
    name: "the entry was appended, and its number is left in the order without it",
    found: { ...machine, order: [0, 1, 2, 3] },
    noted: { isAppended: true },
    steps: ["BootOrder", "DiskomatorRun"],
    order: [0, 1, 2],
    facts: { order: "same", isEntryLost: true },
    problems: /Boot0003 was lost/,
  },
  {
    name: "the entry was appended, and the user has given its number to another one",
    found: { ...machine, ...withOptions([3, image]), order: [3, 0, 1, 2] },
    noted: { isAppended: true, noReturn: true },
    steps: ["DiskomatorRun"],
    facts: { order: "kept", isEntryLost: true },
    problems: /Boot0003 was lost/,
  },
  {
    name: "the entry was appended, and firmware has given it another number",
    found: { ...machine, ...withOptions([8, ours]), order: [0, 1, 2, 8] },
    noted: { isAppended: true },
    steps: ["BootOrder", "Boot0008", "DiskomatorRun"],
    order: [0, 1, 2],
    facts: { order: "same", isEntryLost: false },
  },
  {
    name: "the entry was appended, the order changed, and the box need not come back",
    found: { ...back, order: [2, 0, 1, 3] },
    noted: { isAppended: true, noReturn: true },
    steps: ["BootOrder", ...tidy],
    order: [2, 0, 1],
    facts: { order: "kept" },
  },
  {
    name: "the entry was appended, and is all that is left of the order",
    found: { ...back, order: [3] },
    noted: { isAppended: true, noReturn: true },
    steps: tidy,
    facts: { order: "kept" },
  },
  {
    name: "by kexec: there is no entry to miss, and the order was changed",
    found: { ...machine, order: [2, 0, 1], bootCount: 6 },
    noted: { entry: null },
    steps: ["BootOrder", "DiskomatorRun"],
    order: [0, 1, 2],
    facts: { boots: 1, isEntryLost: false, orderIgnored: false },
  },
  {
    name: "by kexec: somebody's BootNext",
    found: { ...machine, next: 2 },
    noted: { entry: null },
    steps: ["DiskomatorRun"],
  },
];

for (const { name, found, noted, steps, facts = {}, order, problems = /^$/ } of rows) {
  test(`planReturn: ${name}`, () => {
    const plan = planReturn(found, { ...note, ...noted });
    assert.deepEqual(
      plan?.steps.map((step) => step.name),
      steps,
    );
    for (const [key, value] of Object.entries(facts)) {
      assert.deepEqual(plan[key as keyof ReturnPlan], value, key);
    }
    const written = plan.steps.find((step) => step.name === "BootOrder")?.data ?? null;
    assert.deepEqual(written && parseNumbers(written), order ?? null);
    assert.match(plan.problems.join("\n"), problems);
  });
}

test("planReturn leaves everything to the box where this is the system under test", () => {
  const loader = { ...machine.loader, partUuid: testedUuid };
  assert.equal(planReturn({ ...back, current: 3, loader }, note), null);
  assert.equal(planReturn({ ...back, isKexec: true }, { ...note, entry: null }), null);
  assert.notEqual(planReturn({ ...back, isKexec: true }, note), null);
});
