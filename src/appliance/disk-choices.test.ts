import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChoices, rememberChoices } from "./disk-choices.ts";

test("parseChoices reads what rememberChoices gives, and takes nonsense for nothing", () => {
  const choices = { withdrawn: new Set(["eui.1"]), offered: new Set(["S2", "S3"]) };
  assert.deepEqual(parseChoices(JSON.stringify(rememberChoices(choices))), choices);
  const none = { withdrawn: new Set(), offered: new Set() };
  for (const text of ["", "{", "null", "7", '{"withdrawn":7,"offered":[null]}']) {
    assert.deepEqual(parseChoices(text), none, text);
  }
});
