import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Patience } from "./driver-patience.ts";

const timeoutMs = 5000;

/** Disks that answer when they are told to. */
function makeDisks() {
  const asked: string[] = [];
  const answers = new Map<string, (text: string) => void>();
  const look = (name: string) => () => {
    asked.push(name);
    return new Promise<string>((resolve) => answers.set(name, resolve));
  };
  const answer = async (name: string) => {
    answers.get(name)?.(`on ${name}`);
    await turn();
  };
  return { asked, look, answer };
}

test("Patience asks a few disks at once, the next when one has answered", async () => {
  const patience = new Patience({ timeoutMs, atOnceMax: 2 });
  const { asked, look, answer } = makeDisks();
  const all = ["sda", "sdb", "sdc"].map((name) => patience.ask(name, look(name)));
  await turn();
  assert.deepEqual(asked, ["sda", "sdb"]);
  for (const name of ["sdb", "sdc", "sda"]) await answer(name);
  assert.deepEqual(await Promise.all(all), ["on sda", "on sdb", "on sdc"]);
  assert.equal(await patience.ask("sda", () => Promise.reject(new Error("it broke"))), null);
});

test("Patience does not ask a disk again that has not answered yet", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const patience = new Patience({ timeoutMs, atOnceMax: 2 });
  const { asked, look, answer } = makeDisks();
  const first = patience.ask("sda", look("sda"));
  t.mock.timers.tick(timeoutMs);
  assert.equal(await first, null);
  assert.equal(await patience.ask("sda", look("sda")), null);
  const other = patience.ask("sdb", look("sdb"));
  const waits = patience.ask("sdc", look("sdc"));
  t.mock.timers.tick(timeoutMs);
  assert.deepEqual(await Promise.all([other, waits]), [null, null]);
  assert.deepEqual(asked, ["sda", "sdb"], "no more threads are given away");
  await answer("sda");
  const again = patience.ask("sda", look("sda"));
  await turn();
  await answer("sda");
  assert.equal(await again, "on sda");
});
