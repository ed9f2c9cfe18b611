import assert from "node:assert/strict";
import { test } from "node:test";
import { GrantHolders } from "./grant-holders.ts";

function workshop() {
  const orphans: string[] = [];
  const holders = new GrantHolders((grant) => orphans.push(grant));
  const [first, second] = [new AbortController(), new AbortController()];
  return { orphans, holders, first, second };
}

test("GrantHolders tells of a grant when the session that asked last has ended", () => {
  const { orphans, holders, first, second } = workshop();
  holders.hold("g1", first.signal);
  holders.hold("g1", first.signal);
  holders.hold("g2", first.signal);
  holders.hold("g1", second.signal);
  first.abort();
  assert.deepEqual(orphans, ["g2"]);
  second.abort();
  assert.deepEqual(orphans, ["g2", "g1"]);
});

test("GrantHolders lets a grant stay that was asked for without a session", () => {
  const { orphans, holders, first } = workshop();
  holders.hold("g1", first.signal);
  holders.hold("g1", null);
  first.abort();
  assert.deepEqual(orphans, []);
});

test("GrantHolders tells of a grant whose session had ended before", () => {
  const { orphans, holders, first } = workshop();
  first.abort();
  holders.hold("g1", first.signal);
  assert.deepEqual(orphans, ["g1"]);
});
