/** What is remembered of disks, and for how long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Contents, KnownContents, readWriteCounts } from "./known-contents.ts";

const found = (line: string): Contents => ({ line, isBlank: false, partitions: [] });

/** A disk that says how often it was looked at. */
function watched(changes: { answer?: Contents } = {}) {
  const disk = { looks: 0, writes: "1" as string | null, nowMs: 0, whileLooking: () => {} };
  const known = new KnownContents({
    look: async () => {
      disk.looks += 1;
      disk.whileLooking();
      return "answer" in changes ? (changes.answer ?? null) : found(`look ${disk.looks}`);
    },
    writes: () => disk.writes,
    monotonicMs: () => disk.nowMs,
  });
  return { disk, known };
}

test("KnownContents looks once at a disk that nobody writes to", async () => {
  const { disk, known } = watched();
  for (let n = 0; n < 3; n++) assert.equal((await known.of("sda"))?.line, "look 1");
  assert.equal((await known.of("sdb"))?.line, "look 2");
  assert.equal(disk.looks, 2);
});

test("KnownContents looks again after a write, be it during the look", async () => {
  const { disk, known } = watched();
  disk.whileLooking = () => {
    disk.writes = "2";
  };
  await known.of("sda");
  assert.equal((await known.of("sda"))?.line, "look 2");
  assert.equal((await known.of("sda"))?.line, "look 2");
  disk.writes = "3";
  disk.whileLooking = () => {};
  assert.equal((await known.of("sda"))?.line, "look 3");
});

test("KnownContents looks again after ten minutes: another machine may have written", async () => {
  const { disk, known } = watched();
  await known.of("sda");
  disk.nowMs = 10 * 60 * 1000 - 1;
  assert.equal((await known.of("sda"))?.line, "look 1");
  disk.nowMs += 1;
  assert.equal((await known.of("sda"))?.line, "look 2");
});

test("KnownContents remembers nothing of a disk that does not answer, or has no counts", async () => {
  const silent = watched({ answer: null });
  await silent.known.of("sda");
  assert.equal(await silent.known.of("sda"), null);
  assert.equal(silent.disk.looks, 2);
  const uncounted = watched();
  uncounted.disk.writes = null;
  await uncounted.known.of("sda");
  await uncounted.known.of("sda");
  assert.equal(uncounted.disk.looks, 2);
});

/** As Linux 6.12 prints them. */
const stats = (sdaWrites: number, sdbDiscards: number, reads = 175): string => `\
   8       0 sda ${reads} 0 8824 88 ${sdaWrites} 0 512 3 0 72 91 0 0 0 0 0 0
   8      16 sdb ${reads} 0 8824 88 0 0 0 0 0 72 91 ${sdbDiscards} 0 0 0 0 0
`;

const counts: readonly [name: string, text: string, isSame: boolean][] = [
  ["nothing happened", stats(1, 0), true],
  ["reads", stats(1, 0, 999), true],
  ["a write to it", stats(2, 0), false],
  ["a discard on another, which may be the same disk", stats(1, 1), false],
  ["a disk that came", `${stats(1, 0)}   8 32 sdc 1 0 8 1 0 0 0 0 0 1 1 0 0 0 0 0 0\n`, false],
];
for (const [name, text, isSame] of counts) {
  test(`readWriteCounts tells of ${name}`, () => {
    const before = readWriteCounts(stats(1, 0), "sda");
    assert.notEqual(before, null);
    assert.equal(readWriteCounts(text, "sda") === before, isSame);
  });
}

test("readWriteCounts knows nothing of a disk that is not there, or counts too little", () => {
  assert.equal(readWriteCounts(stats(1, 0), "sdz"), null);
  assert.equal(readWriteCounts("", "sda"), null);
  assert.equal(readWriteCounts("8 0 sda 1 2 3 4 5 6 7 8 9 10 11", "sda"), null);
});
