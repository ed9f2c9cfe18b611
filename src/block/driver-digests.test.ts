import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BlockError } from "./device.ts";
import { digestBytes, digestUnits, isZeroDigest } from "./digests.ts";
import { Digester } from "./driver-digests.ts";

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

async function scratchFile(content: Uint8Array): Promise<AsyncDisposable & { path: string }> {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-digests-"));
  const path = join(folder, "disk");
  await writeFile(path, content);
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/** What another implementation says; zeros for units of zeros. */
function expected(content: Uint8Array, unitBytes: number): string {
  let hex = "";
  for (let at = 0; at < content.length; at += unitBytes) {
    const unit = content.subarray(at, at + unitBytes);
    const isZero = unit.every((byte) => byte === 0);
    hex += isZero ? "0".repeat(64) : createHash("sha256").update(unit).digest("hex");
  }
  return hex;
}

test("Digester gives whole SHA-256 sums in the order of the ranges, cached or not", async () => {
  const content = randomBytes(19 * mebibyte + 4096);
  content.fill(0, 3 * mebibyte, 7 * mebibyte + 128 * kibibyte);
  await using file = await scratchFile(content);
  const ranges = [
    { offsetBytes: mebibyte, lengthBytes: 18 * mebibyte + 4096 },
    { offsetBytes: 0, lengthBytes: 2 * mebibyte },
    { offsetBytes: 512 * kibibyte, lengthBytes: 4096 },
  ];
  for (const isDirect of [true, false]) {
    await using digester = new Digester(file.path, { isDirect });
    for (const unitBytes of [4 * kibibyte, 64 * kibibyte, 3 * mebibyte, 64 * mebibyte]) {
      let found = "";
      for await (const { digests } of digester.digest(ranges, unitBytes)) {
        found += Buffer.from(digests).toString("hex");
      }
      const wanted = ranges.map(({ offsetBytes, lengthBytes }) =>
        expected(content.subarray(offsetBytes, offsetBytes + lengthBytes), unitBytes),
      );
      assert.equal(found, wanted.join(""), `${isDirect} ${unitBytes}`);
    }
  }
});

test("Digester past the cache sees what was written meanwhile", async () => {
  await using file = await scratchFile(randomBytes(2 * mebibyte));
  await using digester = new Digester(file.path, { isDirect: true });
  for (let round = 0; round < 3; round++) {
    const content = randomBytes(2 * mebibyte);
    await writeFile(file.path, content);
    const ranges = [{ offsetBytes: 0, lengthBytes: content.length }];
    for await (const { digests } of digester.digest(ranges, mebibyte)) {
      assert.equal(Buffer.from(digests).toString("hex"), expected(content, mebibyte));
    }
  }
});

test("Digester rejects what it cannot read, and what comes after its end", async () => {
  await using file = await scratchFile(randomBytes(mebibyte));
  const ranges = [{ offsetBytes: 0, lengthBytes: mebibyte }];
  const run = async (path: string, isLater = false) => {
    await using digester = new Digester(path, { isDirect: false });
    if (isLater) await digester[Symbol.asyncDispose]();
    for await (const _ of digester.digest(ranges, 4096));
  };
  const fails = (code: string) => (error: unknown) =>
    error instanceof BlockError && error.code === code;
  await assert.rejects(run(join(file.path, "missing")), fails("medium"));
  await assert.rejects(run(file.path, true), fails("closed"));
  await truncate(file.path, 4096);
  await assert.rejects(run(file.path), fails("medium"));
});

test("Digester ends when it is aborted, between two pieces", async () => {
  await using file = await scratchFile(new Uint8Array(64 * mebibyte));
  await using digester = new Digester(file.path, { isDirect: false });
  const abort = new AbortController();
  const ranges = [{ offsetBytes: 0, lengthBytes: 64 * mebibyte }];
  await assert.rejects(async () => {
    for await (const _ of digester.digest(ranges, 4096, abort)) abort.abort(new Error("enough"));
  }, /enough/);
});

test("digestUnits tells zeros from data up to the last byte", () => {
  const data = new Uint8Array(4 * 4096 + 5);
  data[2 * 4096 - 1] = 1;
  data[4 * 4096 + 4] = 1;
  const digests = new Uint8Array(5 * digestBytes);
  digestUnits(data, 4096, digests, 0);
  const zeros = [0, 1, 2, 3, 4].map((unit) => isZeroDigest(digests, unit));
  assert.deepEqual(zeros, [true, false, true, true, false]);
  assert.equal(Buffer.from(digests).toString("hex"), expected(data, 4096));
});
