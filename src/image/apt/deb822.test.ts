import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseDeb822 } from "./deb822.ts";

test("parseDeb822 reads paragraphs, folded values, comments and either line end", () => {
  const text = "\n\n# c\nA: 1\nB:\n two\n# c\n\tthree\r\n .\n\n \nA:4  \r\n\n";
  const parsed = parseDeb822(text);
  assert.ok(parsed.ok);
  assert.deepEqual(
    parsed.paragraphs.map((paragraph) => Object.fromEntries(paragraph)),
    [{ a: "1", b: "\ntwo\nthree\n." }, { a: "4" }],
  );
});

test("parseDeb822 names the line that is no field", () => {
  const table = [
    { text: "A: 1\nnonsense\n", line: 2 },
    { text: " folded\n", line: 1 },
    { text: "A: 1\n\n folded\n", line: 3 },
    { text: ": 1\n", line: 1 },
    { text: "A: 1\na: 2\n", line: 2 },
    { text: "A B: 1\n", line: 1 },
  ];
  for (const { text, line } of table) {
    const parsed = parseDeb822(text);
    assert.equal(parsed.ok ? undefined : parsed.line, line, JSON.stringify(text));
  }
});

test("parseDeb822 gives a value for any text", () => {
  const text = fc.string({ unit: fc.constantFrom(..."A: \n#\t\r-é"), maxLength: 50 });
  fc.assert(
    fc.property(text, (value) => {
      const parsed = parseDeb822(value);
      assert.ok(!parsed.ok || parsed.paragraphs.every((paragraph) => paragraph.size > 0));
    }),
    { seed: 20261123, numRuns: 3000 },
  );
});
