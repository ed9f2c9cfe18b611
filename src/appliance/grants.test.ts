import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfiguredPsk, DhchapSecret } from "../nvme/index.ts";
import { keyMaker } from "./grant-keys.ts";
import { parseGrantMemory } from "./grant-memory.ts";
import { type Grant, type GrantRequest, Grants, isGrant } from "./grants.ts";

const now = { monotonicMs: 1000, date: new Date("2026-11-23T12:00:00Z") };
const hostA = "nqn.2014-08.org.nvmexpress:uuid:a";
const hostB = "nqn.2014-08.org.nvmexpress:uuid:b";

let count = 0;
/** Secrets count up, so that new ones are seen. */
const keys = keyMaker((length) => {
  count += 1;
  return new Uint8Array(length).fill(count);
});

function ask(change: Partial<GrantRequest> = {}): GrantRequest {
  return {
    hostnqn: hostA,
    nqns: ["n1"],
    mode: "rw",
    seconds: 60,
    purpose: "",
    overlayBytes: null,
    shared: false,
    ...change,
  };
}

function give(grants: Grants, change: Partial<GrantRequest> = {}, at = now): Grant {
  const given = grants.add(ask(change), at, keys);
  assert.ok(isGrant(given), JSON.stringify(given));
  return given;
}

test("Grants.add gives a grant with an end, and keys that both ends can read", () => {
  const grants = new Grants();
  const grant = give(grants);
  assert.equal(grant.expiresMs, 61_000);
  assert.equal(grant.expiresAt, "2026-11-23T12:01:00.000Z");
  const secrets = grants.secretsOf(hostA);
  assert.ok(secrets);
  assert.ok(DhchapSecret.parse(secrets.host).ok && DhchapSecret.parse(secrets.controller).ok);
  assert.ok(ConfiguredPsk.parse(secrets.tlsPsk).ok);
  assert.equal(new Set(Object.values(secrets)).size, 3);
});

test("Grants.add prolongs what is asked for again, and leaves the keys as they are", () => {
  const grants = new Grants();
  const first = give(grants);
  const secrets = grants.secretsOf(hostA);
  const later = { monotonicMs: 31_000, date: new Date("2026-11-23T12:00:30Z") };
  const again = give(grants, {}, later);
  assert.deepEqual([again.id, again.expiresMs, again.since], [first.id, 91_000, first.since]);
  assert.equal(give(grants, { nqns: ["n2"] }).id, "g2", "another disk is another grant");
  assert.equal(grants.secretsOf(hostA), secrets);
});

test("Grants.revoke forgets a host's keys with its last grant", () => {
  const grants = new Grants();
  const [one, two] = [give(grants), give(grants, { nqns: ["n2"] })];
  const before = grants.secretsOf(hostA);
  assert.equal(grants.revoke(one.id)?.id, one.id);
  assert.equal(grants.secretsOf(hostA), before);
  grants.revoke(two.id);
  assert.equal(grants.secretsOf(hostA), undefined);
  assert.equal(grants.revoke(two.id), null);
  give(grants);
  assert.notDeepEqual(grants.secretsOf(hostA), before, "a replayed key is worth nothing");
});

test("Grants.orphan lets a grant end sooner, never later", () => {
  const grants = new Grants();
  const { id } = give(grants);
  assert.equal(grants.list[0]?.orphaned, false);
  const at = (monotonicMs: number) => ({ monotonicMs, date: new Date("2026-11-23T12:00:10Z") });
  assert.equal(grants.orphan(id, at(1e9)), true);
  assert.equal(grants.nextExpiryMs, 61_000);
  assert.equal(grants.orphan(id, at(11_000)), true);
  assert.equal(grants.nextExpiryMs, 11_000);
  assert.equal(grants.list[0]?.expiresAt, "2026-11-23T12:00:10.000Z");
  assert.equal(grants.orphan("g9", at(1)), false);
  assert.equal(give(grants).orphaned, false, "another session has taken it over");
});

test("Grants.orphansInTheWay names grants without a session, if nothing else is in the way", () => {
  const grants = new Grants();
  const [left, kept] = [give(grants), give(grants, { nqns: ["n2"] })];
  const soon = { monotonicMs: 16_000, date: new Date("2026-11-23T12:00:15Z") };
  const idsFor = (change: Partial<GrantRequest>) =>
    grants.orphansInTheWay(ask({ hostnqn: hostB, ...change })).map(({ id }) => id);
  assert.deepEqual(idsFor({}), [], "its session lives");
  grants.orphan(left.id, soon);
  assert.deepEqual(idsFor({}), [left.id]);
  assert.deepEqual(idsFor({ mode: "ro" }), [left.id]);
  assert.deepEqual(idsFor({ hostnqn: hostA }), [], "its own host takes it over");
  assert.deepEqual(idsFor({ nqns: ["n1", "n2"] }), []);
  const given = grants.add(ask({ hostnqn: hostB, nqns: ["n1", "n2"] }), now, keys);
  assert.ok(!isGrant(given) && given.fault === "in-use");
  assert.equal(given.grant.id, kept.id, "who is there is named, not who has gone");
});

test("Grants.expire takes back what is over, and nextExpiryMs says when to look", () => {
  const grants = new Grants();
  give(grants, { seconds: 10 });
  give(grants, { nqns: ["n2"], hostnqn: hostB, seconds: 20 });
  give(grants, { nqns: ["n3"], seconds: null });
  assert.equal(grants.nextExpiryMs, 11_000);
  assert.deepEqual(grants.expire(10_999), []);
  assert.deepEqual(
    grants.expire(11_000).map(({ id }) => id),
    ["g1"],
  );
  assert.equal(grants.nextExpiryMs, 21_000);
  grants.expire(1e9);
  assert.deepEqual(
    grants.list.map(({ id }) => id),
    ["g3"],
  );
  assert.equal(grants.nextExpiryMs, null);
});

const clashes: readonly [
  name: string,
  first: Partial<GrantRequest>,
  next: Partial<GrantRequest>,
  fault: string | null,
][] = [
  ["the same host in another mode", { mode: "ro" }, { mode: "rw" }, "other-mode"],
  ["a reader beside a writer", { mode: "rw" }, { hostnqn: hostB, mode: "ro" }, "in-use"],
  ["a writer beside an overlay", { mode: "overlay" }, { hostnqn: hostB, mode: "rw" }, "in-use"],
  ["two readers", { mode: "ro" }, { hostnqn: hostB, mode: "ro" }, null],
  ["two writers", { mode: "rw" }, { hostnqn: hostB, mode: "rw" }, "in-use"],
  ["two writers that share", { shared: true }, { hostnqn: hostB, shared: true }, null],
  ["a writer that shares beside one that does not", {}, { hostnqn: hostB, shared: true }, "in-use"],
  ["a writer beside one that shares", { shared: true }, { hostnqn: hostB }, "in-use"],
  [
    "a reader beside a writer that shares",
    { shared: true },
    { hostnqn: hostB, mode: "ro", shared: true },
    "in-use",
  ],
  ["a reader and an overlay", { mode: "ro" }, { hostnqn: hostB, mode: "overlay" }, null],
  ["another disk", { mode: "ro" }, { nqns: ["n2"], mode: "rw" }, null],
];
for (const [name, first, next, fault] of clashes) {
  test(`Grants.add ${fault === null ? "takes" : "refuses"} ${name}`, () => {
    const grants = new Grants();
    give(grants, first);
    const given = grants.add(ask(next), now, keys);
    assert.equal(isGrant(given) ? null : given.fault, fault);
    assert.equal(grants.list.length, fault === null ? 2 : 1);
  });
}

test("Grants.add lets a host share what it has, or no longer, if nobody else does", () => {
  const grants = new Grants();
  give(grants);
  assert.equal(give(grants, { shared: true }).id, "g1");
  give(grants, { hostnqn: hostB, shared: true });
  const given = grants.add(ask(), now, keys);
  assert.ok(!isGrant(given) && given.fault === "in-use");
  assert.deepEqual([given.nqn, given.grant.hostnqn], ["n1", hostB]);
  grants.revoke("g2");
  assert.equal(give(grants).shared, false);
});

test("Grants.add has an end", () => {
  const grants = new Grants();
  for (let n = 0; n < 128; n++) give(grants, { nqns: [`n${n}`] });
  assert.deepEqual(grants.add(ask({ nqns: ["more"] }), now, keys), { fault: "limit" });
});

test("Grants come back from their memory, which a file may hold", () => {
  const grants = new Grants();
  give(grants, { shared: true });
  grants.orphan("g1", now);
  const memory = parseGrantMemory(JSON.stringify(grants.memory));
  const again = new Grants(memory);
  assert.deepEqual(again.memory, grants.memory);
  assert.equal(give(again, { nqns: ["n2"] }).id, "g2");
  assert.deepEqual(again.secretsOf(hostA), grants.secretsOf(hostA));
  for (const text of ["", "{}", '{"lastId":"x"}', "[1]"]) {
    assert.deepEqual(parseGrantMemory(text).grants, []);
  }
});
