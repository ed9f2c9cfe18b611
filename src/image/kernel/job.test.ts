import assert from "node:assert/strict";
import { test } from "node:test";
import { kernelJob } from "./job.ts";
import { fileEntry, fixtureRelease, kernelEntries } from "./testing/fixture.ts";

const folder = `usr/lib/modules/${fixtureRelease}`;
const output = kernelJob({
  definition: {
    classes: [],
    modules: ["tg3"],
    excludeFirmware: ["tigon/large.bin"],
  },
  kernelFiles: kernelEntries([
    { path: "drivers/net/libphy", exports: ["phy"] },
    {
      path: "drivers/net/tg3",
      info: [
        "depends=libphy",
        "firmware=tigon/tg3.bin",
        "firmware=tigon/large.bin",
        "firmware=tigon/gone.bin",
      ],
      imports: ["phy"],
    },
    { path: "drivers/net/other" },
  ]),
  firmwareFiles: [
    fileEntry("usr/lib/firmware/tigon/tg3.bin", "tg3"),
    fileEntry("usr/lib/firmware/tigon/large.bin", "large"),
  ],
  microcodeFiles: [fileEntry("usr/lib/firmware/amd-ucode/microcode_amd.bin", "amd")],
  epochSeconds: 11,
});

test("kernelJob gives the chosen files with all folders above them, sorted", () => {
  assert.deepEqual(
    output.entries.map(({ path }) => path),
    [
      "usr",
      "usr/lib",
      "usr/lib/firmware",
      "usr/lib/firmware/tigon",
      "usr/lib/firmware/tigon/tg3.bin",
      "usr/lib/modules",
      folder,
      `${folder}/kernel`,
      `${folder}/kernel/drivers`,
      `${folder}/kernel/drivers/net`,
      `${folder}/kernel/drivers/net/libphy.ko`,
      `${folder}/kernel/drivers/net/tg3.ko`,
      ...["alias.bin", "builtin.alias.bin", "builtin.bin", "dep", "dep.bin", "devname"].map(
        (name) => `${folder}/modules.${name}`,
      ),
      ...["softdep", "symbols.bin", "weakdep"].map((name) => `${folder}/modules.${name}`),
    ],
  );
});

test("kernelJob dates what it makes by the epoch and leaves packages' files as they are", () => {
  for (const { path, mtimeSeconds } of output.entries) {
    assert.equal(
      mtimeSeconds,
      /\.(ko|bin)$/.test(path) && !/\/modules\./.test(path) ? 7 : 11,
      path,
    );
  }
});

test("kernelJob hands on the kernel, its release and the microcode", () => {
  assert.equal(output.release, fixtureRelease);
  assert.equal(Buffer.from(output.vmlinuz).toString(), "MZ kernel");
  assert.equal(output.microcode.at(-1)?.path, "kernel/x86/microcode/AuthenticAMD.bin");
});

test("kernelJob reports modules with reasons, sizes, and firmware that is missing", () => {
  const { report } = output;
  assert.deepEqual(
    report.modules.map(({ name, reason }) => [name, reason]),
    [
      ["libphy", { kind: "dependency", of: "tg3" }],
      ["tg3", { kind: "named", pattern: "tg3" }],
    ],
  );
  assert.equal(report.modulePackedBytes, report.moduleRawBytes);
  assert.equal(report.firmwareBytes, 3);
  assert.deepEqual(report.firmwareMissing, [{ module: "tg3", name: "tigon/gone.bin" }]);
  assert.deepEqual(report.unusedFirmwareExclusions, []);
});
