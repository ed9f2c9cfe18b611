import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { SoftServing } from "./driver-soft-serving.ts";
import type { SoftExport } from "./grant-exports.ts";

const wish: SoftExport = {
  nqn: "nqn.a",
  disk: "sda",
  diskSequence: 1,
  sizeBytes: 512,
  mode: "ro",
  overlayBytes: null,
  strings: { attr_serial: "S", attr_model: "M", attr_firmware: "1" },
  uuid: "u",
  nguid: "g",
  hosts: "any",
};

/** A target that fails as long as it is told to. */
function make() {
  const asked: number[] = [];
  const state = { fails: false, breaks: false, changes: 0 };
  const target = {
    served: new Set<string>(),
    settle: async (wishes: readonly SoftExport[]) => {
      asked.push(wishes.length);
      if (state.breaks) throw new Error("EIO: i/o error, close");
      return new Map(state.fails ? wishes.map(({ nqn }) => [nqn, "no room"]) : []);
    },
  };
  const serving = new SoftServing(target, () => {
    state.changes += 1;
  });
  return { serving, asked, state };
}

test("SoftServing asks the target once for the same wishes, and says when it is done", async () => {
  const { serving, asked, state } = make();
  serving.want([]);
  assert.equal(serving.work, null, "nothing is loaded for nothing");
  serving.want([wish]);
  serving.want([wish]);
  await serving.work;
  assert.equal(serving.work, null);
  assert.deepEqual([asked, state.changes], [[1], 1]);
});

test("SoftServing serves the newest wishes last", async () => {
  const { serving, asked } = make();
  serving.want([wish]);
  serving.want([]);
  serving.want([wish, { ...wish, nqn: "nqn.b" }]);
  await serving.work;
  assert.deepEqual(asked, [1, 0, 2]);
});

test("SoftServing tries again later what failed, and not at once", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { serving, asked, state } = make();
  state.fails = true;
  serving.want([wish]);
  await serving.work;
  assert.deepEqual([...serving.failures], [["nqn.a", "no room"]]);
  serving.want([wish]);
  assert.equal(serving.work, null);
  state.fails = false;
  t.mock.timers.tick(5000);
  await turn();
  serving.want([wish]);
  await serving.work;
  assert.deepEqual([asked, serving.failures.size], [[1, 1], 0]);
});

test("SoftServing survives a target that fails as a whole, and tries again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { serving, asked, state } = make();
  state.breaks = true;
  serving.want([wish]);
  await serving.work;
  assert.deepEqual([serving.work, ...serving.failures], [null, ["nqn.a", "EIO: i/o error, close"]]);
  state.breaks = false;
  t.mock.timers.tick(5000);
  serving.want([wish]);
  await serving.work;
  assert.deepEqual([asked.length, serving.failures.size], [2, 0]);
});

test("SoftServing.stop serves nothing any more", async () => {
  const { serving, asked } = make();
  serving.want([wish]);
  await serving.stop();
  assert.deepEqual(asked, [1, 0]);
});
