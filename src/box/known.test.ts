import assert from "node:assert/strict";
import { test } from "node:test";
import { BoxError } from "./error.ts";
import { addKnownBox, formatKnownBoxes, type KnownBox, parseKnownBoxes } from "./known.ts";

const attic: KnownBox = { name: "attic", address: "10.1.2.3", ports: new Map([[22, 2222]]) };
const plain: KnownBox = { name: "box.example", address: "box.example", ports: new Map() };

test("parseKnownBoxes reads what formatKnownBoxes writes", () => {
  const text = formatKnownBoxes([attic, plain]);
  assert.deepEqual(parseKnownBoxes(text, "boxes.json"), [attic, plain]);
  assert.deepEqual(parseKnownBoxes('{"boxes":[]}', "boxes.json"), []);
});

for (const [text, why] of [
  ["", /it is not JSON/],
  ["[]", /boxes\.json: boxes: /],
  ['{"boxes":[{"name":"a"}]}', /boxes\.0\.address/],
  ['{"boxes":[{"address":"a b"}]}', /boxes\.0\.address/],
  ['{"boxes":[{"address":"a","ports":{"22":70000}}]}', /boxes\.0\.ports\.22/],
  ['{"boxes":[{"address":"a","ports":{"ssh":22}}]}', /Wanted: a port number/],
  ['{"boxes":[{"address":"a","adress":"b"}]}', /adress/],
] as const) {
  test(`parseKnownBoxes refuses ${text || "nothing"} and says why`, () => {
    assert.throws(
      () => parseKnownBoxes(text, "boxes.json"),
      (error) =>
        error instanceof BoxError && error.code === "configuration" && why.test(error.message),
    );
  });
}

test("addKnownBox replaces the one of the same name", () => {
  const moved = { ...attic, address: "10.1.2.4" };
  assert.deepEqual(addKnownBox([plain, attic], moved), [moved, plain]);
});
