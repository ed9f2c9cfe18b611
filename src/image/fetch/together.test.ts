import assert from "node:assert/strict";
import { test } from "node:test";
import { runTogether } from "./together.ts";

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

test("runTogether gives the results in the order of the tasks", async () => {
  const tasks = [3, 1, 2].map((value) => async () => value);
  assert.deepEqual(await runTogether(tasks), [3, 1, 2]);
});

test("runTogether ends the others at the first failure, and waits for them", async () => {
  const failure = new Error("first");
  const ended: string[] = [];
  const slow = async (signal: AbortSignal) => {
    await untilAborted(signal).catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    ended.push("slow");
  };
  const failing = () => Promise.reject(failure);
  await assert.rejects(runTogether([slow, failing]), failure);
  assert.deepEqual(ended, ["slow"]);
});

test("runTogether ends with the reason of the caller's signal", async () => {
  const reason = new Error("enough");
  const aborter = new AbortController();
  const running = runTogether([untilAborted, untilAborted], aborter.signal);
  aborter.abort(reason);
  await assert.rejects(running, reason);
});
