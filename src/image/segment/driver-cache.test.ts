import assert from "node:assert/strict";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { SegmentCache, writeFailure } from "./driver-cache.ts";
import { makeSegment } from "./segment.ts";

const data = new TextEncoder().encode("contents");
const base = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 1 };
const segment = makeSegment(
  [{ type: "file", path: "a", ...base, data }],
  { kind: "zstd", level: 3 },
  { captured: { a: { text: "contents\n" } } },
);
const key = "ab".repeat(32);

interface Fixture {
  readonly cache: SegmentCache;
  readonly directory: string;
  readonly events: unknown[];
}

async function withCache(run: (fixture: Fixture) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "cache-"));
  try {
    const directory = join(root, "segments");
    const events: unknown[] = [];
    const cache = new SegmentCache(directory, (event, { damage }) => events.push([event, damage]));
    await run({ cache, directory, events });
  } finally {
    rmSync(root, { recursive: true });
  }
}

test("SegmentCache.find gives what store was given, and leaves nothing else behind", () =>
  withCache(async ({ cache, directory, events }) => {
    assert.equal(await cache.find(key), undefined);
    const stored = await cache.store(key, segment);
    const found = await cache.find(key);
    assert.deepEqual(
      { ...found, bytes: new Uint8Array(found!.bytes) },
      {
        ...stored,
        bytes: new Uint8Array(segment.bytes),
      },
    );
    assert.equal(found!.path, join(directory, `${key}.seg`));
    assert.deepEqual(readdirSync(directory).sort(), [`${key}.json`, `${key}.seg`]);
    assert.deepEqual(events, []);
  }));

test("SegmentCache keeps a segment of no bytes", () =>
  withCache(async ({ cache }) => {
    await cache.store(key, makeSegment([], { kind: "store" }));
    assert.equal((await cache.find(key))?.bytes.length, 0);
  }));

const damages: { name: string; damage: RegExp; make: (seg: string, json: string) => void }[] = [
  { name: "cut bytes", damage: /has 5 bytes/, make: (seg) => truncateSync(seg, 5) },
  { name: "missing bytes", damage: /bytes are missing/, make: (seg) => rmSync(seg) },
  {
    name: "changed bytes",
    damage: /bytes have another checksum/,
    make: (seg) => {
      const bytes = readFileSync(seg);
      bytes.fill(0, bytes.length - 1);
      writeFileSync(seg, bytes);
    },
  },
  { name: "no header", damage: /header cannot be read/, make: (_, json) => truncateSync(json, 0) },
  { name: "a cut header", damage: /cannot be read/, make: (_, json) => truncateSync(json, 9) },
  {
    name: "a header of nothing",
    damage: /cannot be read/,
    make: (_, json) => writeFileSync(json, "null\n"),
  },
  {
    name: "a cut listing",
    damage: /listing has another checksum/,
    make: (_, json) => writeFileSync(json, readFileSync(json).subarray(0, -3)),
  },
  {
    name: "another format",
    damage: /header is of another/,
    make: (_, json) => rewrite(json, (header) => ({ ...header, format: 0 })),
  },
  {
    name: "a header without its checksums",
    damage: /header cannot be read/,
    make: (_, json) => rewrite(json, ({ crc32: _left, ...header }) => header),
  },
  {
    name: "a listing of another form",
    damage: /listing is of another form/,
    make: (_, json) => {
      const other = '{"entries":1}';
      rewrite(json, (header) => ({ ...header, listingCrc32: crc32(other) }), other);
    },
  },
];

/** Puts another header, and another listing, into an entry of the cache. */
function rewrite(
  json: string,
  change: (header: Record<string, unknown>) => unknown,
  listing?: string,
): void {
  const [header = "", found = ""] = readFileSync(json, "utf8").split("\n");
  writeFileSync(json, `${JSON.stringify(change(JSON.parse(header)))}\n${listing ?? found}`);
}

for (const { name, damage, make } of damages) {
  test(`SegmentCache.find reports and removes an entry with ${name}`, () =>
    withCache(async ({ cache, directory, events }) => {
      const { path } = await cache.store(key, segment);
      make(path, path.replace(/seg$/, "json"));
      assert.equal(await cache.find(key), undefined);
      assert.equal(events.length, 1);
      assert.match(String(events[0]), damage);
      assert.deepEqual(readdirSync(directory), []);
      await cache.store(key, segment);
      assert.notEqual(await cache.find(key), undefined);
    }));
}

test("SegmentCache.store names the directory that cannot be written", () =>
  withCache(async ({ directory }) => {
    const file = `${directory}-file`;
    writeFileSync(file, "");
    const message = /^Cannot write the segment cache at .*-file\/x: .* Make it writable/;
    await assert.rejects(new SegmentCache(join(file, "x")).store(key, segment), {
      name: "ImageError",
      code: "io",
      message,
    });
  }));

test("writeFailure tells a full disk from other failures", () => {
  const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });
  const { code, message, cause } = writeFailure("/c/x.seg", full);
  assert.equal(code, "disk-full");
  assert.equal(cause, full);
  assert.equal(
    message,
    "Cannot write the segment cache at /c/x.seg: no space left. Free some space and build again.",
  );
  assert.equal(writeFailure("/c", new Error("other")).code, "io");
});
