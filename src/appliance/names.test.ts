import assert from "node:assert/strict";
import { test } from "node:test";
import { boxName } from "./identity.ts";
import { firstWords, secondWords } from "./words.ts";

test("the word lists have a word for each byte, and no word twice", () => {
  assert.deepEqual([firstWords.length, secondWords.length], [256, 256]);
  const all = [...firstWords, ...secondWords];
  assert.equal(new Set(all).size, 512);
  for (const word of all) assert.match(word, /^[a-z]{3,11}$/);
  const long = Math.max(...firstWords.map((one) => one.length));
  assert.ok(long + 2 * 11 + 2 <= 63, "three of them make one label of DNS");
});

// From the first run: a change of these renames boxes that people know.
const known: readonly [machineId: string, full: string][] = [
  ["00000000000000000000000000000000", "pond-pasta-beet"],
  ["5d0c6f1e2b7a4c939e481f6a7b3c2d10", "cobalt-peach-cheddar"],
  ["3a1f1c2e52c54d0e8a771b6f0c9d2e45", "dancer-cocoa-papaya"],
];
for (const [machineId, full] of known) {
  test(`boxName calls ${machineId} ${full}, at every boot`, () => {
    assert.deepEqual(boxName(`${machineId}\n`), {
      short: full.split("-").slice(0, 2).join("-"),
      full,
    });
  });
}

test("boxName has no word twice in any of many names, and spreads over both lists", () => {
  const names = Array.from({ length: 5000 }, (_, n) => boxName(String(n)).full.split("-"));
  for (const words of names) assert.equal(new Set(words).size, 3, words.join("-"));
  assert.equal(new Set(names.map(([first]) => first)).size, 256);
  assert.equal(new Set(names.map(([, second]) => second)).size, 256);
});
