import assert from "node:assert/strict";
import { test } from "node:test";
import { xz } from "@napi-rs/lzma";
import { ImageError } from "../error.ts";
import { readKernelFiles } from "./modules.ts";
import { selectModules } from "./select.ts";
import { type FixtureModule, fileEntry, kernelEntries, moduleObject } from "./testing/fixture.ts";
import { unpackModules } from "./unpacked.ts";

const modules: readonly FixtureModule[] = [
  { path: "crypto/xor", exports: ["xor"] },
  { path: "drivers/nvme/host/nvme-core", info: ["depends=xor"], imports: ["xor"] },
  { path: "drivers/nvme/host/nvme", info: ["depends=nvme-core"] },
  { path: "drivers/net/tg3", info: ["depends=xor"], imports: ["xor"] },
];
const kernel = readKernelFiles(
  kernelEntries(modules, { list: "kernel/drivers/tty/vt-core.ko\n" }).map((entry) =>
    entry.type === "file" && entry.path.endsWith(".ko")
      ? fileEntry(`${entry.path}.xz`, xz.compressSync(entry.data))
      : entry,
  ),
);
const { chosen } = selectModules(kernel, { classes: [], modules: ["nvme", "tg3"] });

test("unpackModules unpacks what is named with all that it depends on, and leaves the rest", () => {
  const made = unpackModules(kernel, chosen, ["nvme", "vt-core"]);
  assert.deepEqual(
    made.map(({ module }) => module.path),
    [
      "kernel/crypto/xor.ko",
      "kernel/drivers/net/tg3.ko.xz",
      "kernel/drivers/nvme/host/nvme-core.ko",
      "kernel/drivers/nvme/host/nvme.ko",
    ],
  );
  for (const { module } of made) {
    assert.ok(module.entry.path.endsWith(`/${module.path}`));
    const { path } = modules.find((one) => module.path.startsWith(`kernel/${one.path}.ko`))!;
    const raw = moduleObject(modules.find((one) => one.path === path)!);
    const isPacked = module.path.endsWith(".xz");
    const wanted = isPacked ? xz.compressSync(raw) : raw;
    assert.deepEqual(Buffer.from(module.entry.data), Buffer.from(wanted));
    assert.deepEqual(kernel.content(module).rawBytes, raw.length);
  }
  assert.deepEqual(
    made.map(({ reason }) => reason),
    chosen.map(({ reason }) => reason),
  );
});

test("unpackModules without names changes nothing", () => {
  assert.deepEqual(unpackModules(kernel, chosen, []), chosen);
});

test("unpackModules refuses a name that the definition does not take", () => {
  assert.throws(
    () => unpackModules(kernel, chosen, ["ext4"]),
    (error) =>
      error instanceof ImageError &&
      error.code === "module" &&
      /"ext4".*kernel\.unpackedModules/.test(error.message),
  );
});
