import assert from "node:assert/strict";
import { test } from "node:test";
import { listMachineTests } from "./machines.ts";
import { findFiles, readFiles } from "./project.ts";

const start = 'import { startVm } from "../src/vm/index.ts";\nawait startVm();';

test("listMachineTests finds tests that start a machine, by themselves or by what they import", () => {
  const found = listMachineTests([
    { path: "test/a.test.ts", text: start },
    { path: "test/b.test.ts", text: 'import { boot } from "./driver-b.ts";' },
    { path: "test/driver-b.ts", text: 'export * from "./driver-c.ts";' },
    { path: "test/driver-c.ts", text: `import "./driver-b.ts";\n${start}` },
    { path: "test/full/d.test.ts", text: 'await import("../driver-c.ts");' },
    { path: "test/e.test.ts", text: 'import { makeScratchFolder } from "../src/vm/index.ts";' },
    { path: "test/f.test.ts", text: '// startVm is not called\nconst why = "startVm";' },
  ]);
  assert.deepEqual([...found].toSorted(), [
    "test/a.test.ts",
    "test/b.test.ts",
    "test/full/d.test.ts",
  ]);
});

test("listMachineTests knows the project's own tests", async () => {
  const found = listMachineTests(await readFiles(await findFiles(["test/**/*.ts"])));
  for (const path of ["box", "initiator-linux", "vm", "full/run", "full/power-cuts"]) {
    assert.ok(found.has(`test/${path}.test.ts`), path);
  }
  for (const path of ["docs", "multicast", "flash-commands", "gpt-oracle", "soft-target"]) {
    assert.ok(!found.has(`test/${path}.test.ts`), path);
  }
});
