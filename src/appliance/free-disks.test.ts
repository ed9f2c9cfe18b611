import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "../rpc/index.ts";
import { askForFree } from "./free-disks.ts";

/** A box on which some disks are somebody else's; it names one of them at a time. */
function boxWith(taken: readonly string[]) {
  const asked: string[][] = [];
  const ask = async (disks: string[]) => {
    asked.push(disks);
    const disk = disks.find((name) => taken.includes(name));
    if (disk !== undefined) throw new RpcError("refused", `Ada has ${disk}.`, { disk });
    return disks.join("+");
  };
  return { ask, asked };
}

test("askForFree leaves out what others have, and says so", async () => {
  const { ask, asked } = boxWith(["sdb", "sdd"]);
  assert.deepEqual(await askForFree(["sda", "sdb", "sdc", "sdd"], ask), {
    given: "sda+sdc",
    refusals: ["Ada has sdb.", "Ada has sdd."],
  });
  assert.equal(asked.length, 3);
});

test("askForFree rejects when nothing is free, or when it is no matter of a disk", async () => {
  const { ask, asked } = boxWith(["sda"]);
  await assert.rejects(askForFree(["sda"], ask), /Ada has sda/);
  assert.equal(asked.length, 1);
  for (const error of [
    new RpcError("refused", "Nobody is let in."),
    new RpcError("failed", "The kernel failed.", { disk: "sda" }),
  ]) {
    const always = () => Promise.reject(error);
    await assert.rejects(askForFree(["sda", "sdb"], always), { message: error.message });
  }
});
