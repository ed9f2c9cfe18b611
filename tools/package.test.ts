import assert from "node:assert/strict";
import test from "node:test";
import { doorsOf, moveReferences, packedExports, sourceExports, workersOf } from "./package.ts";

const path = "src/flash/source/driver-x.ts";

const table = [
  {
    name: "a script for a thread",
    text: 'new Worker(new URL("./thread/driver-worker.ts", import.meta.url))',
    moved: 'new Worker(new URL("./flash-source-thread-driver-worker.js", import.meta.url))',
    workers: ["src/flash/source/thread/driver-worker.ts"],
  },
  {
    name: "a script for a thread over several lines",
    text: 'new URL(\n  "../driver-worker.ts",\n  import.meta.url,\n)',
    moved: 'new URL("./flash-driver-worker.js", import.meta.url)',
    workers: ["src/flash/driver-worker.ts"],
  },
  {
    name: "a file beside the source",
    text: 'new URL("./keys/a.asc", import.meta.url)',
    moved: `new URL("./keys/a.asc", new URL("../${path}", import.meta.url).href)`,
    workers: [],
  },
  {
    name: "the source's folder",
    text: 'join(import.meta.dirname, "..")',
    moved: 'join((import.meta.dirname + "/../src/flash/source"), "..")',
    workers: [],
  },
  { name: "the main module", text: "if (import.meta.main) {", moved: undefined, workers: [] },
  { name: "a string", text: 'const name = "import.meta.url";', moved: undefined, workers: [] },
];

for (const { name, text, moved, workers } of table) {
  test(`moveReferences and workersOf: ${name}`, () => {
    assert.equal(moveReferences(path, text), moved ?? text);
    assert.deepEqual(workersOf(path, text), workers);
  });
}

test("moveReferences refuses a use of import.meta that it does not know", () => {
  assert.throws(() => moveReferences(path, "import.meta.resolve('a')"), /driver-x\.ts.*resolve/);
});

test("exports of a checkout and of the package name the same doors", () => {
  const doors = ["block", "nvme"];
  assert.deepEqual(doorsOf(packedExports(doors)), doors);
  assert.deepEqual(sourceExports(doorsOf(packedExports(doors))), {
    "./block": "./src/block/index.ts",
    "./nvme": "./src/nvme/index.ts",
  });
});
