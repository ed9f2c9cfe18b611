import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { xz } from "@napi-rs/lzma";
import { FlashError } from "../error.ts";
import { noise } from "../testing/fixtures.ts";
import { type ByteSource, ChunkSource } from "./byte-source.ts";
import { decodeSource, type StreamFormat } from "./driver-decode.ts";

/** `printf 'diskomator %.0s' $(seq 400) | bzip2`, and the same once more. */
const bzip2Sample = Buffer.from(
  "QlpoOTFBWSZTWYp3l8MAAleRgEAAJCqcACAAUIAYBSqaNHpPgi9CLQReBFgRYEWBFwItBFwIuBF+LuSKcKEh" +
    "FO8vhg==",
  "base64",
);

const content = Buffer.concat([noise(70_000), Buffer.alloc(300_000), noise(70_000, 7)]);
const half = content.length / 2;

const packers: Readonly<Record<"gzip" | "zstd" | "xz", (data: Uint8Array) => Buffer>> = {
  gzip: (data) => gzipSync(data, { level: 1 }),
  zstd: (data) => zstdCompressSync(data, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
  xz: (data) => xz.compressSync(data),
};
const formats = ["gzip", "zstd", "xz"] as const;

/** A source that brings `data` in chunks of the given sizes, the last one for the rest. */
function cutSource(data: Uint8Array, sizes: readonly number[]): ByteSource {
  async function* chunks() {
    let at = 0;
    for (let n = 0; at < data.length; n++) {
      const size = sizes[n % sizes.length] ?? data.length;
      yield data.subarray(at, at + size);
      at += size;
    }
  }
  return new ChunkSource(chunks(), undefined, async () => {});
}

async function decode(
  data: Uint8Array,
  format: StreamFormat,
  sizes: readonly number[] = [64 * 1024],
): Promise<Buffer> {
  await using source = decodeSource(cutSource(data, sizes), format, { name: "image" });
  const found: Buffer[] = [];
  const buffer = Buffer.alloc(100_000);
  for (;;) {
    const length = await source.read(buffer);
    if (length === 0) return Buffer.concat(found);
    found.push(Buffer.from(buffer.subarray(0, length)));
  }
}

async function refusal(data: Uint8Array, format: StreamFormat, sizes?: readonly number[]) {
  try {
    await decode(data, format, sizes);
  } catch (error) {
    assert.ok(error instanceof FlashError, String(error));
    return error.code;
  }
  return "none";
}

for (const format of formats) {
  const packed = packers[format](content);
  const parts = [
    packers[format](content.subarray(0, half)),
    packers[format](content.subarray(half)),
  ];

  test(`decodeSource gives the content of ${format}, of several frames too, however it is cut`, async () => {
    const several = Buffer.concat(parts);
    for (const sizes of [[4093], [1, 4096], [several.length], [parts[0]?.length ?? 0, 1]]) {
      assert.ok((await decode(packed, format, sizes)).equals(content), `${sizes}`);
      assert.ok((await decode(several, format, sizes)).equals(content), `${sizes}`);
    }
  });

  test(`decodeSource refuses ${format} that is cut off, at every place that is tried`, async () => {
    for (const end of [6, 20, packed.length >> 1, packed.length - 9, packed.length - 1]) {
      assert.equal(await refusal(packed.subarray(0, end), format), "truncated", `${end}`);
    }
    const second = Buffer.concat([parts[0] ?? packed, (parts[1] ?? packed).subarray(0, 30)]);
    assert.equal(await refusal(second, format), "truncated");
  });

  test(`decodeSource refuses ${format} with rubbish behind it, zeros too, however it is cut`, async () => {
    for (const rubbish of [
      Buffer.from("rubbish!"),
      Buffer.alloc(2000),
      Buffer.alloc(300_000, 0x41),
    ]) {
      if (format === "xz" && rubbish[0] === 0) continue; // Zeros in fours are stream padding there.
      const long = Buffer.concat([packed, rubbish]);
      for (const sizes of [[packed.length], [long.length], [4096]]) {
        assert.equal(await refusal(long, format, sizes), "trailing", `${rubbish.length} ${sizes}`);
      }
    }
  });

  test(`decodeSource refuses ${format} that is damaged`, async () => {
    const bad = Buffer.from(packed);
    bad[packed.length >> 2] = (bad[packed.length >> 2] ?? 0) ^ 0x10;
    const code = await refusal(bad, format);
    assert.ok(code === "corrupt" || code === "trailing" || code === "truncated", code);
  });
}

test("decodeSource gives the content of bzip2, of several streams too, and refuses what is broken", async () => {
  const wanted = Buffer.from("diskomator ".repeat(400));
  assert.ok((await decode(bzip2Sample, "bzip2", [10])).equals(wanted));
  const twice = Buffer.concat([bzip2Sample, bzip2Sample]);
  assert.ok((await decode(twice, "bzip2")).equals(Buffer.concat([wanted, wanted])));
  assert.equal(await refusal(bzip2Sample.subarray(0, 60), "bzip2"), "truncated");
  assert.equal(
    await refusal(Buffer.concat([bzip2Sample, Buffer.from("rubbish")]), "bzip2"),
    "trailing",
  );
  const bad = Buffer.from(bzip2Sample);
  bad[50] = (bad[50] ?? 0) ^ 4;
  assert.notEqual(await refusal(bad, "bzip2"), "none");
});

test("decodeSource passes on what its source throws", async () => {
  for (const format of formats) {
    const failure = new FlashError("network", "the cable");
    async function* chunks() {
      yield packers[format](content).subarray(0, 1000);
      throw failure;
    }
    await using source = decodeSource(
      new ChunkSource(chunks(), undefined, async () => {}),
      format,
      { name: "image" },
    );
    const read = async () => {
      while ((await source.read(Buffer.alloc(65536))) > 0);
    };
    await assert.rejects(read, (error) => error === failure, format);
  }
});

test("decodeSource that is let go before its end lets its source go, and goes on reading it no more", async () => {
  for (const format of [...formats, "bzip2"] as const) {
    const data = format === "bzip2" ? bzip2Sample : packers[format](content);
    const inner = cutSource(data, [256]);
    const calls: string[] = [];
    const watched: ByteSource = {
      sizeBytes: undefined,
      read(target, options) {
        calls.push("read");
        return inner.read(target, options);
      },
      async [Symbol.asyncDispose]() {
        calls.push("dispose");
        await inner[Symbol.asyncDispose]();
      },
    };
    const source = decodeSource(watched, format, { name: "image" });
    assert.ok((await source.read(Buffer.alloc(100))) > 0, format);
    await source[Symbol.asyncDispose]();
    for (let turns = 0; turns < 100; turns++) await setImmediate();
    const end = calls.slice(calls.indexOf("dispose"));
    // A read may be on its way to the source just then; it finds the source at its end.
    assert.match(end.join(" "), /^dispose( read)?$/, format);
  }
});
