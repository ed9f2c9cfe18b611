import assert from "node:assert/strict";
import test from "node:test";
import { flushAll, ServedSizes } from "./served-files.ts";

test("ServedSizes goes on where one device is gone, and tells of it once", async (t) => {
  const said: string[] = [];
  t.mock.method(process.stderr, "write", (text: string) => said.push(text) > 0);
  const answers: (boolean | Error)[] = [
    new Error("Cannot look at /dev/sdx."),
    new Error("x"),
    true,
  ];
  const files = [
    {
      path: "/dev/sdx",
      async refreshSize() {
        const answer = answers.shift() ?? false;
        if (answer instanceof Error) throw answer;
        return answer;
      },
    },
    undefined,
    { path: "disk.img", refreshSize: async () => true },
  ];
  const sizes = new ServedSizes(files);
  assert.deepEqual(await sizes.changed(), [2]);
  assert.deepEqual(await sizes.changed(), [2]);
  assert.deepEqual(await sizes.changed(), [0, 2]);
  assert.deepEqual(said, ["Cannot look at /dev/sdx.\n"]);
});

test("flushAll flushes what it can, and rejects with what it could not", async () => {
  const flushed: string[] = [];
  const device = (name: string, readOnly = false) => ({
    readOnly,
    flush: async () => void flushed.push(name),
  });
  const broken = { readOnly: false, flush: () => Promise.reject(new Error("gone")) };
  await assert.rejects(flushAll([broken, device("a"), device("b", true), device("c")]), /gone/);
  assert.deepEqual(flushed, ["a", "c"]);
});
