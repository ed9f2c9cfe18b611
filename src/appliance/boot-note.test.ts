/** The note that survives a loss of power. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatNote, noteOrder, parseNote, printOf } from "./boot-note.ts";
import {
  fileOption,
  machine,
  note,
  option,
  stickUuid,
  testedUuid,
} from "./testing/boot-samples.ts";

test("parseNote reads what formatNote wrote", () => {
  assert.deepEqual(parseNote(formatNote(note)), note);
});

test("parseNote gives null for what is no note", () => {
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  for (const wrong of [null, {}, { ...note, entry: 70000 }, { ...note, order: [1] }]) {
    assert.equal(parseNote(text(wrong)), null);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (data) => parseNote(data) === null),
    { seed: 20261123, numRuns: 200 },
  );
});

test("formatNote leaves room: a note of fifteen entries takes less than a kibibyte", () => {
  const order = Array.from(
    { length: 15 },
    (_, n) => [n, printOf(option(`${n}`))] as [number, string],
  );
  const long = { ...note, run: "6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90", order };
  assert(formatNote(long).length < 1024);
});

test("noteOrder keeps entries by what they are, and leaves out numbers without one", () => {
  const noted = noteOrder([2, 9, 1], machine.options);
  assert.deepEqual(
    noted.map(([number]) => number),
    [2, 1],
  );
  assert.notEqual(noted[0]?.[1], noted[1]?.[1]);
});

test("printOf tells options apart by description and path, and not by whether they are on", () => {
  const one = fileOption("disk", testedUuid);
  assert.equal(printOf({ ...one, attributes: 0 }), printOf(one));
  assert.notEqual(printOf(fileOption("disk", stickUuid)), printOf(one));
  assert.notEqual(printOf(fileOption("other", testedUuid)), printOf(one));
});
