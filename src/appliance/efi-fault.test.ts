/** What system calls say of variables, in words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { efiFault } from "./efi-fault.ts";

const table: readonly [code: string, dumps: number, reason: string, message: RegExp][] = [
  ["EROFS", 0, "read-only", /the system lets nobody write them/],
  ["ENOSPC", 3, "full", /is full\. 3 of them are records of crashes/],
  ["ENOSPC", 0, "full", /is full\. Remove boot entries/],
  ["EINVAL", 0, "refused", /The firmware refuses the variable BootNext \(EINVAL\)/],
];

for (const [code, dumps, reason, message] of table) {
  test(`efiFault: ${code} with ${dumps} records of crashes`, () => {
    const error = efiFault(code, "BootNext", dumps);
    assert.equal(error.code, "efi");
    assert.equal(error.facts.reason, reason);
    assert.match(error.message, message);
  });
}
