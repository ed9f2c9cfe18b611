import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ImageError } from "../error.ts";
import { parseRelations, showGroup } from "./relation.ts";

const table: readonly { name: string; field: string; groups: readonly string[] }[] = [
  { name: "nothing", field: "", groups: [] },
  { name: "one name", field: "libc6", groups: ["libc6"] },
  {
    name: "versions, in every spacing",
    field: "libc6 (>= 2.39), libfoo(<<1:2~rc1-3) ,bar ( = 1 )",
    groups: ["libc6 (>= 2.39)", "libfoo (<< 1:2~rc1-3)", "bar (= 1)"],
  },
  {
    name: "alternatives",
    field: "debconf (>= 0.5) | debconf-2.0, mawk|gawk",
    groups: ["debconf (>= 0.5) | debconf-2.0", "mawk | gawk"],
  },
  {
    name: "qualifiers",
    field: "python3:any (>= 3.13), a:native",
    groups: ["python3:any (>= 3.13)", "a:native"],
  },
  { name: "obsolete operators", field: "a (< 1), b (> 1)", groups: ["a (<= 1)", "b (>= 1)"] },
  {
    name: "architecture lists",
    field: "a [amd64], b [!amd64], c [i386] | d, e [!i386 !armhf], f [linux-any], g [i386 arm64]",
    groups: ["a", "d", "e", "f"],
  },
  {
    name: "build profiles",
    field: "a <!nocheck>, b (>= 1) [amd64] <!x !y> <z>",
    groups: ["a", "b (>= 1)"],
  },
  { name: "folded lines and a comma at the end", field: "a,\n b,\n c,", groups: ["a", "b", "c"] },
];

test("parseRelations reads what control files have", () => {
  for (const { name, field, groups } of table) {
    assert.deepEqual(parseRelations(field, "amd64").map(showGroup), groups, name);
  }
});

test("parseRelations reads what showGroup writes", () => {
  for (const { groups } of table) {
    assert.deepEqual(parseRelations(groups.join(", "), "amd64").map(showGroup), groups);
  }
});

test("parseRelations refuses what is no relation, naming it", () => {
  const malformed = [
    "a (1)",
    "a (>= )",
    "a | ",
    "A",
    "a b",
    "(>= 1)",
    "a (>= 1",
    "a ]",
    "a (>= $x)",
  ];
  for (const field of malformed) {
    assert.throws(
      () => parseRelations(field, "amd64"),
      (error) => error instanceof ImageError && error.code === "package",
      field,
    );
  }
});

test("parseRelations ends with groups or an ImageError, whatever it is given", () => {
  const text = fc.string({ unit: fc.constantFrom(..."ab1 ,|()[]<>=!:~\n"), maxLength: 60 });
  fc.assert(
    fc.property(text, (field) => {
      try {
        assert.ok(parseRelations(field, "amd64").every((group) => group.length > 0));
      } catch (error) {
        assert.ok(error instanceof ImageError);
      }
    }),
    { seed: 20261123, numRuns: 3000 },
  );
});
