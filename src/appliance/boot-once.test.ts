/** What is written so that a disk boots once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNote } from "./boot-note.ts";
import { chooseEntry, entryDescription, planBootOnce } from "./boot-once.ts";
import { parseLoadOption, parseNumbers } from "./boot-option.ts";
import { machine, note, option, withOptions } from "./testing/boot-samples.ts";

const path = Uint8Array.of(4, 4, 6, 0, 0, 0, 0x7f, 0xff, 4, 0);
const none = new Uint8Array();

test("chooseEntry takes one of ours again, else the lowest that nobody uses or names", () => {
  assert.equal(chooseEntry(machine), 3);
  assert.equal(chooseEntry({ ...machine, order: [0, 1, 2, 3] }), 4);
  const ours = withOptions([9, option(entryDescription)]);
  assert.equal(chooseEntry({ ...machine, ...ours }), 9);
});

test("planBootOnce writes the note first and BootNext last, and not BootOrder", () => {
  const steps = planBootOnce(note, path, machine.order);
  assert.deepEqual(
    steps.map(({ name }) => name),
    ["DiskomatorRun", "Boot0003", "BootNext"],
  );
  const [kept, entry, next] = steps.map(({ data }) => data ?? none);
  assert.deepEqual(parseNote(kept!), note);
  const written = parseLoadOption(entry!);
  assert.equal(written?.description, entryDescription);
  assert.deepEqual(written.path, path);
  assert.deepEqual(parseNumbers(next!), [3]);
});

test("planBootOnce puts the entry last in BootOrder where that is wanted, and only once", () => {
  const wanted = { ...note, isAppended: true };
  for (const order of [
    [0, 1, 2],
    [3, 0, 1, 2],
  ]) {
    const steps = planBootOnce(wanted, path, order);
    assert.deepEqual(
      steps.map(({ name }) => name),
      ["DiskomatorRun", "Boot0003", "BootOrder", "BootNext"],
    );
    assert.deepEqual(parseNumbers(steps[2]?.data ?? none), [0, 1, 2, 3]);
  }
});

test("planBootOnce writes nothing but the note where the box starts the kernel itself", () => {
  const jumped = { ...note, entry: null };
  const [kept, ...others] = planBootOnce(jumped, none, machine.order);
  assert.deepEqual(others, []);
  assert.equal(kept?.name, "DiskomatorRun");
  assert.deepEqual(parseNote(kept.data ?? none), jumped);
});
