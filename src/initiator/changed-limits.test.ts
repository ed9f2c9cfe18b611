/** A controller that comes back after a lost connection with other limits than it had. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { FakeCall } from "./testing/fake-target.ts";
import { openLasting } from "./testing/lasting.ts";
import { pattern, settle } from "./testing/open.ts";

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

test("calls under way when MDTS shrinks over a reconnect are done in pieces of the new length", async () => {
  const lengths: number[] = [];
  let isHolding = true;
  const hook = ({ command: { name }, lengthBytes, queue }: FakeCall) => {
    if (name !== "write" && name !== "read") return false;
    if (isHolding) return true;
    lengths.push(lengthBytes);
    // As SPDK's target does with what is too long.
    if (lengthBytes > 8192) queue.cut();
    return lengthBytes > 8192;
  };
  const { target, controller, disk, pass } = await openLasting({ hook });
  target.disk.set(pattern(262_144, 1), 524_288);
  const data = pattern(262_144, 2);
  const found = new Uint8Array(262_144);
  const calls = Promise.all([disk.write(0, data), disk.read(524_288, found)]);
  calls.catch(() => {});
  await settle();
  isHolding = false;
  target.change({ mdts: 1 });
  target.cut();
  await pass(2000);
  await calls;
  assert.ok(lengths.length === 64 && lengths.every((length) => length === 8192), `${lengths}`);
  assert.ok(Buffer.compare(target.disk.subarray(0, 262_144), data) === 0);
  assert.ok(Buffer.compare(found, pattern(262_144, 1)) === 0);
  await controller.close();
});
