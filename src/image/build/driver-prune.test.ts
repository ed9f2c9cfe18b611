import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { pruneCache } from "./driver-prune.ts";

const now = new Date("2026-11-23T12:00:00Z");
const daysAgo = (days: number) => new Date(now.getTime() - days * 24 * 3600 * 1000);

/** A cache with files of 10 bytes by path, each so many days old. */
function cacheWith(t: TestContext, files: Readonly<Record<string, number>>): string {
  const cache = mkdtempSync(join(tmpdir(), "prune-"));
  t.after(() => rmSync(cache, { recursive: true }));
  for (const [path, days] of Object.entries(files)) {
    mkdirSync(dirname(join(cache, path)), { recursive: true });
    writeFileSync(join(cache, path), "x".repeat(10));
    utimesSync(join(cache, path), daysAgo(days), daysAgo(days));
  }
  return cache;
}

test("pruneCache removes what no build has used for a month, and nothing else", async (t) => {
  const old = ["debs/sha256/aa", "npm/bb.tgz", "index/sha256/cc", "segments/one/dd.seg"];
  const kept = ["debs/sha256/ee", "segments/two/ff.seg", "index/newest/debian_trixie", "other/gg"];
  const cache = cacheWith(t, {
    ...Object.fromEntries(old.map((path) => [path, 31])),
    "debs/sha256/ee": 29,
    "segments/two/ff.seg": 400,
    "index/newest/debian_trixie": 400,
    "other/gg": 400,
  });
  const removed = await pruneCache(cache, [join(cache, "segments/two/ff.seg")], now);
  assert.equal(removed, 40);
  for (const path of old) assert.equal(existsSync(join(cache, path)), false, path);
  for (const path of kept) assert.ok(existsSync(join(cache, path)), path);
});

test("pruneCache keeps what was used a month from its last use on", async (t) => {
  const cache = cacheWith(t, { "debs/sha256/aa": 400 });
  const path = join(cache, "debs/sha256/aa");
  await pruneCache(cache, [path], daysAgo(20));
  assert.equal(await pruneCache(cache, [], now), 0);
  assert.ok(existsSync(path));
  assert.equal(await pruneCache(cache, [], daysAgo(-11)), 10);
});

test("pruneCache keeps what only the second build of each day uses", async (t) => {
  const cache = cacheWith(t, { "debs/sha256/aa": 0, "debs/sha256/bb": 0 });
  const [first, second] = ["debs/sha256/aa", "debs/sha256/bb"].map((path) => join(cache, path));
  for (let day = 1; day <= 32; day++) {
    await pruneCache(cache, [first!], daysAgo(-day));
    await pruneCache(cache, [second!], daysAgo(-day));
  }
  assert.ok(existsSync(second!));
});

test("pruneCache removes what a killed npm has left", async (t) => {
  const cache = cacheWith(t, { "npm/fetch-old/a.tgz": 31, "npm/fetch-new/a.tgz": 31 });
  utimesSync(join(cache, "npm/fetch-old"), daysAgo(31), daysAgo(31));
  utimesSync(join(cache, "npm/fetch-new"), daysAgo(1), daysAgo(1));
  await pruneCache(cache, [], now);
  assert.equal(existsSync(join(cache, "npm/fetch-old")), false);
  assert.ok(existsSync(join(cache, "npm/fetch-new/a.tgz")));
});

test("pruneCache looks a cache through once a day", async (t) => {
  const cache = cacheWith(t, {});
  await pruneCache(cache, [], now);
  mkdirSync(join(cache, "npm"));
  writeFileSync(join(cache, "npm/aa"), "x");
  utimesSync(join(cache, "npm/aa"), daysAgo(90), daysAgo(90));
  assert.equal(await pruneCache(cache, [], daysAgo(-0.9)), 0);
  assert.equal(await pruneCache(cache, [], daysAgo(-1.1)), 1);
});
