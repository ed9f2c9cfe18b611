import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { xz } from "@napi-rs/lzma";
import { ImageError } from "../error.ts";
import { readKernelFiles, readModule } from "./modules.ts";
import {
  fileEntry,
  fixtureRelease,
  kernelEntries,
  kernelOf,
  moduleObject,
} from "./testing/fixture.ts";

const nvme = { path: "drivers/nvme/host/nvme", info: ["depends=nvme-core"], imports: ["a"] };

function failsWith(code: string, pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof ImageError);
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  };
}

test("readKernelFiles sorts a package into release, kernel, modules and built-in ones", () => {
  const kernel = kernelOf([nvme], "kernel/drivers/tty/vt-core.ko\n");
  assert.equal(kernel.release, fixtureRelease);
  assert.equal(Buffer.from(kernel.vmlinuz.data).toString(), "MZ kernel");
  assert.deepEqual([...kernel.builtin], ["vt_core"]);
  const module = kernel.modules.get("nvme")!;
  assert.equal(module.path, "kernel/drivers/nvme/host/nvme.ko");
  assert.deepEqual(kernel.content(module).depends, ["nvme-core"]);
  assert.equal(kernel.content(module), kernel.content(module));
});

test("readKernelFiles finds vmlinuz beside the modules too", () => {
  const [, ...others] = kernelEntries([nvme]);
  const image = fileEntry(`usr/lib/modules/${fixtureRelease}/vmlinuz`, "MZ other");
  const kernel = readKernelFiles([...others, image]);
  assert.equal(Buffer.from(kernel.vmlinuz.data).toString(), "MZ other");
});

test("readKernelFiles refuses what is not one whole kernel", () => {
  const whole = kernelEntries([nvme]);
  const cases = [
    { entries: [], pattern: /found 0 vmlinuz and modules of 0 releases/ },
    { entries: whole.slice(1), pattern: /found 0 vmlinuz/ },
    {
      entries: [...whole, fileEntry("usr/lib/modules/other/modules.order", "")],
      pattern: /modules of 2 releases/,
    },
    {
      entries: whole.filter(({ path }) => !path.endsWith("modules.order")),
      pattern: /modules\.order is missing/,
    },
  ];
  for (const { entries, pattern } of cases) {
    assert.throws(() => readKernelFiles(entries), failsWith("kernel", pattern));
  }
});

test("readModule reads the same from every compression", () => {
  const raw = moduleObject(nvme);
  const wanted = readModule("nvme.ko", raw);
  assert.deepEqual(wanted.imports, ["a"]);
  assert.equal(wanted.rawBytes, raw.length);
  assert.deepEqual(readModule("nvme.ko.xz", xz.compressSync(raw)), wanted);
  assert.deepEqual(readModule("nvme.ko.zst", zstdCompressSync(raw)), wanted);
  assert.deepEqual(readModule("nvme.ko.gz", gzipSync(raw)), wanted);
});

test("readModule names a module that is damaged", () => {
  const packed = xz.compressSync(moduleObject(nvme)).fill(0xff, 12, 60);
  assert.throws(() => readModule("a/nvme.ko.xz", packed), failsWith("package", /a\/nvme\.ko\.xz/));
  const text = Buffer.from("no object");
  assert.throws(() => readModule("x.ko", text), failsWith("module", /x\.ko.*not-elf64-le/));
});
