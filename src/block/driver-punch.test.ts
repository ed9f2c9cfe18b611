import assert from "node:assert/strict";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { HolePuncher } from "./driver-punch.ts";

const unit = 64 * 1024;

test("HolePuncher.punch frees what was asked for, however it comes, and nothing else", async () => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-punch-"));
  try {
    await using file = await open(join(folder, "file"), "w+");
    const wanted = Buffer.alloc(24 * unit, 7);
    await file.write(wanted);
    const puncher = new HolePuncher(file.fd);
    // In units: the first alone, then some that touch, some that overlap, one within another one.
    const asked: readonly (readonly [number, number])[] = [
      [20, 1],
      [5, 2],
      [3, 2],
      [9, 4],
      [11, 4],
      [12, 1],
      [17, 1],
      [7, 1],
      [0, 1],
    ];
    const done = await Promise.all(
      asked.map(([at, count]) => puncher.punch(at * unit, count * unit)),
    );
    done.push(await puncher.punch(22 * unit, unit));
    const all = [...asked, [22, 1] as const];
    // Where it cannot be done, it says so and leaves all as it is.
    if (process.platform === "linux")
      assert.deepEqual(
        done,
        all.map(() => true),
      );
    for (const [n, [at, count]] of all.entries()) {
      if (done[n]) wanted.fill(0, at * unit, (at + count) * unit);
    }
    const found = Buffer.alloc(wanted.length);
    await file.read(found, 0, found.length, 0);
    assert.ok(found.equals(wanted));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("HolePuncher.punch says no where it cannot be done, to all that wait", async () => {
  const puncher = new HolePuncher(-1);
  const both = await Promise.all([puncher.punch(0, unit), puncher.punch(unit, unit)]);
  assert.deepEqual(both, [false, false]);
  assert.equal(await puncher.punch(0, unit), false);
});
