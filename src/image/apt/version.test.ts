import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { compareVersions, type VersionOperator, versionSatisfies } from "./version.ts";

/** Pairs with their order; sources: dpkg's own t-version, Debian policy 5.6.12, the archive. */
const pairs: readonly (readonly [string, "<" | "=" | ">", string])[] = [
  ["1.0", "=", "1.0"],
  ["1.0", "=", "1.0-0"],
  ["0:1.0", "=", "1.0"],
  ["00:1.0", "=", "1.0"],
  ["1:1.0", ">", "2.0"],
  ["1.0~rc1", "<", "1.0"],
  ["1.0~~", "<", "1.0~"],
  ["1.0~", "<", "1.0"],
  ["1.0~~a", "<", "1.0~"],
  ["1.0", "<", "1.0a"],
  ["1.0", "<", "1.0+"],
  ["1.0a", "<", "1.0+"],
  ["1.0Z", "<", "1.0a"],
  ["1.0-1", "<", "1.0-1+b1"],
  ["1.0-1~deb13u1", "<", "1.0-1"],
  ["1.0-1+deb13u1", ">", "1.0-1"],
  ["1.010", "=", "1.10"],
  ["1.9", "<", "1.10"],
  ["1.0.0", ">", "1.0"],
  ["1.2-3-4", ">", "1.2-3"],
  ["1.0-", "=", "1.0"],
  ["0", "=", ""],
  ["257.13-1~deb13u1", "<", "257.13-1"],
  ["6.12.107-1", ">", "6.12.99-1"],
  ["1:9.18.1", "<", "1:9.20~rc1"],
  ["99999999999999999999", "<", "100000000000000000000"],
  ["1.0a1", "<", "1.0a.1"],
  ["2.4.52~~rc1", "<", "2.4.52~rc1"],
];

test("compareVersions puts known pairs in dpkg's order, both ways", () => {
  const signs = { "<": -1, "=": 0, ">": 1 };
  for (const [left, sign, right] of pairs) {
    assert.equal(Math.sign(compareVersions(left, right)), signs[sign], `${left} ${sign} ${right}`);
    assert.equal(Math.sign(compareVersions(right, left)), -signs[sign] + 0, `${right}, ${left}`);
  }
});

test("versionSatisfies reads each operator", () => {
  const table: readonly (readonly [VersionOperator, boolean, boolean, boolean])[] = [
    ["<<", true, false, false],
    ["<=", true, true, false],
    ["=", false, true, false],
    [">=", false, true, true],
    [">>", false, false, true],
  ];
  for (const [operator, earlier, same, later] of table) {
    assert.equal(versionSatisfies("1.0~rc1", operator, "1.0"), earlier, operator);
    assert.equal(versionSatisfies("1.0-0", operator, "1.0"), same, operator);
    assert.equal(versionSatisfies("1.0+b1", operator, "1.0"), later, operator);
  }
});

const part = fc.string({ unit: fc.constantFrom(..."0129abZ.+~-"), maxLength: 6 });
const version = fc
  .tuple(fc.constantFrom("", "", "0:", "1:"), fc.constantFrom("0", "1", "10"), part)
  .map(([epoch, digit, rest]) => `${epoch}${digit}${rest}`.replace(/-+$/, ""));

test("compareVersions is a total order", () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      assert.equal(Math.sign(compareVersions(a, b)), -Math.sign(compareVersions(b, a)) + 0);
      const [x, y, z] = [a, b, c].sort(compareVersions);
      assert.ok(compareVersions(x!, z!) <= 0);
      assert.ok(compareVersions(x!, y!) <= 0);
      assert.ok(compareVersions(y!, z!) <= 0);
    }),
    { seed: 20261123, numRuns: 2000 },
  );
});

const hasDpkg = spawnSync("dpkg", ["--version"]).status === 0;

test("compareVersions agrees with dpkg --compare-versions on random versions", (t) => {
  if (!hasDpkg) {
    assert.equal(process.env.CI, undefined, "dpkg is needed under CI");
    t.skip("dpkg is not there");
    return;
  }
  const samples = fc.sample(fc.tuple(version, version), { seed: 20261123, numRuns: 150 });
  for (const [left, right] of [...samples, ...pairs.map(([a, , b]) => [a, b] as const)]) {
    if (left === "" || right === "" || left.endsWith("-")) {
      continue;
    }
    const order = compareVersions(left, right);
    const operator = order < 0 ? "lt" : order > 0 ? "gt" : "eq";
    const { status } = spawnSync("dpkg", ["--compare-versions", left, operator, right]);
    assert.equal(status, 0, `dpkg does not agree that ${left} ${operator} ${right}`);
  }
});
