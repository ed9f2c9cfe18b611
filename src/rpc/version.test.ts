import assert from "node:assert/strict";
import { test } from "node:test";
import { describeVersionGap, rpcVersion } from "./version.ts";

test("describeVersionGap says which side is older, and nothing when the versions agree", () => {
  assert.equal(describeVersionGap(rpcVersion, "lunch-feta"), null);
  const older = describeVersionGap(rpcVersion - 1, "lunch-feta") ?? "";
  assert.match(older, /the box lunch-feta is the older one\. Build its image anew/);
  const newer = describeVersionGap(rpcVersion + 1, "lunch-feta") ?? "";
  assert.match(newer, /this program is the older one\. Use the version/);
});
