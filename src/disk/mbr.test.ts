import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeMbr, encodeProtectiveMbr, guidFromHash, type Mbr } from "./index.ts";

const records = (...hex: string[]) =>
  Buffer.from(`${"00".repeat(446)}${hex.join("").padEnd(128, "0")}55aa`, "hex");
const protective = "000002 00eeffffff 01000000 ff7f0000".replaceAll(" ", "");

const tables: readonly { name: string; value: Mbr; bytes: Uint8Array }[] = [
  {
    name: "protective, UEFI 2.10 table 5.4",
    bytes: records(protective),
    value: {
      kind: "protective",
      diskSignature: 0,
      partitions: [
        { number: 1, type: 0xee, active: false, status: 0, firstLba: 1, sectors: 32767 },
      ],
    },
  },
  {
    name: "hybrid",
    bytes: records("8000020007ffffff00080000000100 00".replaceAll(" ", ""), protective),
    value: {
      kind: "hybrid",
      diskSignature: 0,
      partitions: [
        { number: 1, type: 7, active: true, status: 0x80, firstLba: 2048, sectors: 256 },
        { number: 2, type: 0xee, active: false, status: 0, firstLba: 1, sectors: 32767 },
      ],
    },
  },
  {
    name: "no partitions",
    bytes: records(),
    value: { kind: "mbr", diskSignature: 0, partitions: [] },
  },
  { name: "zeros", bytes: new Uint8Array(512), value: { kind: "none" } },
  { name: "too short", bytes: records(protective).subarray(0, 511), value: { kind: "none" } },
];

for (const { name, bytes, value } of tables) {
  test(`decodeMbr reads ${name}`, () => assert.deepEqual(decodeMbr(bytes), value));
}

test("encodeProtectiveMbr writes one record over the disk, at most 2^32 - 1 sectors", () => {
  assert.deepEqual(Buffer.from(encodeProtectiveMbr(32768)), records(protective));
  const found = decodeMbr(encodeProtectiveMbr(2 ** 35));
  assert.equal(found.kind === "protective" && found.partitions[0]?.sectors, 0xffff_ffff);
});

test("decodeMbr survives any bytes", () => {
  const sector = fc.uint8Array({ minLength: 512, maxLength: 512 });
  fc.assert(
    fc.property(sector, fc.boolean(), (bytes, signed) => {
      if (signed) bytes.set([0x55, 0xaa], 510);
      assert.equal(decodeMbr(bytes).kind === "none", !(bytes[510] === 0x55 && bytes[511] === 0xaa));
    }),
    { seed: 20261123, numRuns: 100 },
  );
});

test("guidFromHash makes version 8 and the variant of RFC 9562", () => {
  const ones = new Uint8Array(32).fill(0xff);
  assert.equal(guidFromHash(ones), "ffffffff-ffff-8fff-bfff-ffffffffffff");
  assert.equal(guidFromHash(new Uint8Array(16)), "00000000-0000-8000-8000-000000000000");
  assert.throws(() => guidFromHash(new Uint8Array(15)), RangeError);
});
