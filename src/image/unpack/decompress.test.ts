import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { ImageError } from "../error.ts";
import { compressionOf, decompress } from "./decompress.ts";
import { joined, utf8 } from "./testing/fixture.ts";
import { isXz, readXzBlocks, xzFileOfBlock } from "./xz.ts";

const fromHex = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** By `xz --block-size=16 -T1 --check=crc64` of XZ Utils 5.4.1, of the text below. */
const threeBlocks = fromHex(
  "fd377a585a000004e6d6b4460200210116000000742fe5a301000f6162636465666768696a6b6c6d6e6f7000" +
    "49244b61989890670200210116000000742fe5a301000f7172737475767778797a3031323334350043aea807" +
    "ed541e1f0200210116000000742fe5a301000d363738396162636465666768696a000000195cfc49c62add60" +
    "000328102810260eaf5f1382b1c467fb020000000004595a",
);
const threeBlocksText = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghij";
/** By `xz --check=crc32`, of `hi`. */
const oneBlock = fromHex(
  "fd377a585a0000016922de360200210116000000742fe5a30100016869000000ac2a93d800011602d06110d2" +
    "9042990d010000000001595a",
);

const checked = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
const vectors = [
  { name: "xz", bytes: threeBlocks, wanted: threeBlocksText },
  { name: "gzip", bytes: new Uint8Array(gzipSync("gzipped")), wanted: "gzipped" },
  {
    name: "zstd",
    bytes: new Uint8Array(zstdCompressSync("zstandard", checked)),
    wanted: "zstandard",
  },
  { name: "none", bytes: utf8("as it is"), wanted: "as it is" },
];
for (const { name, bytes, wanted } of vectors) {
  test(`decompress tells ${name} by its first bytes and undoes it`, () => {
    assert.equal(compressionOf(bytes), name);
    assert.equal(text(decompress(bytes, "x")), wanted);
  });

  test(`decompress refuses ${name} that becomes longer than allowed`, () => {
    assert.equal(text(decompress(bytes, "x", wanted.length)), wanted);
    const message = /^Cannot unpack x: its contents is .*, but should be at most/;
    assert.throws(() => decompress(bytes, "x", wanted.length - 1), { code: "package", message });
  });

  if (name === "none") continue;
  test(`decompress refuses ${name} that is cut or damaged`, () => {
    assert.throws(() => decompress(bytes.subarray(0, -4), "x"), { code: "package" });
    const damaged = bytes.slice();
    damaged.fill(0xff, bytes.length - 8);
    assert.throws(() => decompress(damaged, "x"), { code: "package" });
  });
}

test("decompress refuses contents that do not fit the check of their xz block", () => {
  const changed = threeBlocks.slice();
  const content = 27;
  assert.equal(changed[content], "a".charCodeAt(0));
  changed[content] = "b".charCodeAt(0);
  const message = /the xz data is broken/;
  assert.throws(() => decompress(changed, "x"), { code: "package", message });
});

test("readXzBlocks finds every block, over all streams and their padding", () => {
  const blocks = readXzBlocks(joined(threeBlocks, new Uint8Array(8), oneBlock), "x");
  assert.deepEqual(
    blocks.map(({ offsetBytes, outputBytes }) => [offsetBytes, outputBytes]),
    [
      [12, 16],
      [52, 16],
      [92, 14],
      [threeBlocks.length + 8 + 12, 2],
    ],
  );
});

test("xzFileOfBlock makes files that join to the original's contents, for xz(1) too", () => {
  const files = readXzBlocks(threeBlocks, "x").map((block) => xzFileOfBlock(threeBlocks, block));
  assert.ok(files.every(isXz));
  assert.equal(files.map((file) => text(decompress(file, "x"))).join(""), threeBlocksText);
  const input = joined(...files);
  assert.equal(text(execFileSync("xz", ["-dc"], { input })), threeBlocksText);
  assert.deepEqual(
    files.map((file) => readXzBlocks(file, "x").map(({ outputBytes }) => outputBytes)),
    [[16], [16], [14]],
  );
});

test("xzFileOfBlock copies sizes beyond one byte", () => {
  const input = Buffer.alloc(100_000, "some text that repeats. ");
  const file = new Uint8Array(execFileSync("xz", ["-c", "--check=sha256"], { input }));
  const [block] = readXzBlocks(file, "x");
  assert.equal(block!.outputBytes, input.length);
  assert.deepEqual(xzFileOfBlock(file, block!), file);
});

test("readXzBlocks answers damaged files with blocks or an ImageError", () => {
  const changes = fc.tuple(fc.nat(threeBlocks.length - 1), fc.nat(255), fc.nat(12));
  fc.assert(
    fc.property(changes, ([at, byte, cut]) => {
      const bytes = threeBlocks.slice(0, threeBlocks.length - cut);
      bytes[at] = byte;
      try {
        const end = readXzBlocks(bytes, "x").at(-1)!;
        assert.ok(end.offsetBytes + end.unpaddedBytes <= bytes.length);
      } catch (error) {
        assert.ok(error instanceof ImageError && error.code === "package", String(error));
      }
    }),
    { seed: 20261123, numRuns: 500 },
  );
});
