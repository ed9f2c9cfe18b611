/** A controller that comes back after a lost connection with other limits than it had. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { openLasting } from "./testing/lasting.ts";

test("zeros that are written as data have their whole length after MDTS grew over a reconnect", async () => {
  const { target, controller, disk, pass } = await openLasting({ hasWriteZeroes: false, mdts: 1 });
  target.disk.fill(0xaa);
  await disk.writeZeroes(0, 8192);
  target.change({ mdts: 0 });
  target.cut();
  await pass(500);
  await disk.writeZeroes(8192, 65536);
  assert.equal(target.disk.indexOf(0xaa), 8192 + 65536);
  await controller.close();
});
