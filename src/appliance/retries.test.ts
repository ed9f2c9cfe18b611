/** A disk that fails is tried a few times, then left in peace. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Retries } from "./retries.ts";

test("Retries gives growing pauses, then waits for a change", () => {
  const retries = new Retries();
  const pauses = [1, 2, 3, 4, 5, 6].map(() => retries.fail("sda", 1, "EIO"));
  assert.deepEqual(pauses, [2000, 4000, 8000, 16_000, 32_000, null]);
});

test("Retries begins anew with another disk under the same name", () => {
  const retries = new Retries();
  retries.fail("sda", 1, "EIO");
  assert.equal(retries.fail("sda", 2, "EIO"), 2000);
});

test("Retries blocks a disk until it is due or forgotten, and keeps its error", () => {
  const retries = new Retries();
  retries.fail("sda", 1, "EIO");
  retries.fail("sdb", 2, "ENXIO");
  assert.deepEqual([...retries.blocked()], ["sda", "sdb"]);
  retries.makeDue("sda");
  retries.makeDue("sdz");
  assert.deepEqual([...retries.blocked()], ["sdb"]);
  assert.deepEqual(Object.fromEntries(retries.errors()), { sda: "EIO", sdb: "ENXIO" });
  retries.clear("sda");
  assert.deepEqual(Object.fromEntries(retries.errors()), { sdb: "ENXIO" });
});
