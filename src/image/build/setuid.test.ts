import assert from "node:assert/strict";
import { test } from "node:test";
import { defineAppliance } from "../definition.ts";
import { checkSetuid } from "./setuid.ts";
import { smallDefinition } from "./testing/fixtures.ts";

const definitionWith = (keepSetuid: readonly string[]) =>
  defineAppliance({ ...smallDefinition, keepSetuid });
const found = new Map([
  ["usr/bin/su", 0o4755],
  ["usr/bin/plain", 0o1755],
  ["usr/lib/helper", 0o755],
]);
const ownerships = new Map([
  ["usr/lib/helper", { mode: 0o4754, uid: 0, gid: 1 }],
  ["usr/lib/gone", { mode: 0o4755, uid: 0, gid: 0 }],
]);

test("checkSetuid takes what a package or its script makes set-uid", () => {
  for (const glob of ["usr/bin/su", "usr/bin/*", "usr/lib/helper"]) {
    checkSetuid(definitionWith([glob]), found, ownerships);
  }
});

test("checkSetuid names the rule that no set-id file fits", () => {
  for (const glob of ["usr/bin/plain", "usr/lib/gone", "usr/bin/sudo"]) {
    assert.throws(() => checkSetuid(definitionWith(["usr/bin/su", glob]), found, ownerships), {
      name: "ImageError",
      code: "definition",
      facts: { glob },
    });
  }
});
