import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Extent } from "../../disk/index.ts";
import type { SegmentResult } from "../workers/index.ts";
import { makeOutDirectory, writeOutputs } from "./driver-outputs.ts";
import type { BuildOptions } from "./options.ts";
import { emptyLock, lockedPackage, smallDefinition } from "./testing/fixtures.ts";

const stub = { ...lockedPackage, name: "systemd-boot-efi" };
const lock = { ...emptyLock, packages: [stub] };
const segment: SegmentResult = {
  key: "k",
  path: "p",
  sizeBytes: 0,
  sha256: "00",
  codec: { kind: "store" },
  listing: { entries: [], captured: {}, control: {}, scripts: {} },
  cached: true,
};
const report = {
  modules: [],
  modulePackedBytes: 0,
  moduleRawBytes: 0,
  firmwareBytes: 0,
  firmwareByModule: [],
  firmwareMissing: [],
  unusedFirmwareExclusions: [],
  unmatchedRules: [],
};

/** Outputs into a folder of the test's own. */
async function requestFor(t: TestContext, extents: readonly Extent[]) {
  const outDirectory = await mkdtemp(join(tmpdir(), "outputs-"));
  t.after(() => rm(outDirectory, { recursive: true }));
  const options: BuildOptions = {
    definitionPath: "box.ts",
    outDirectory,
    cacheDirectory: "cache",
    update: "never",
    compression: "fast",
    now: new Date(0),
    clock: () => 0,
  };
  const share = { modules: segment, firmware: segment, vmlinuz: segment, microcode: segment };
  return {
    definition: smallDefinition,
    lock,
    local: new Set<string>(),
    roles: { userland: [], kernel: [], firmware: [], microcode: [], stub },
    segments: {
      userland: [],
      node: undefined,
      kernel: { ...share, release: "6.12", report },
      stub: segment,
    },
    finished: { entries: [], ids: {}, modeOverrides: new Map(), osRelease: "", notes: [] },
    image: {
      uki: {
        chunks: [Buffer.from("efi")],
        sizeBytes: 3,
        layout: { sections: [], imageSizeBytes: 0 },
      },
      raw: { extents, sizeBytes: 4096, guids: { disk: "", partition: "" } },
      segments: [],
      buildId: "id",
    },
    options,
  };
}

test("makeOutDirectory makes a folder, and leaves nothing in it", async (t) => {
  const { outDirectory } = (await requestFor(t, [])).options;
  await makeOutDirectory(join(outDirectory, "a/b"));
  assert.deepEqual(await readdir(join(outDirectory, "a/b")), []);
});

test("makeOutDirectory refuses a folder that takes no files, before anything is built", async (t) => {
  // Nobody can write there, and root has no other such folder.
  if (process.platform !== "linux") return t.skip("there is no /proc");
  const message = /^Cannot use the folder \/proc for the outputs: .* Choose another one\.$/;
  await assert.rejects(makeOutDirectory("/proc"), { code: "io", message });
});

const names = ["box.SHA256SUMS", "box.efi", "box.manifest.json", "box.raw", "box.spdx.json"];

test("writeOutputs replaces all outputs of an earlier build, and leaves nothing else", async (t) => {
  const request = await requestFor(t, [{ offsetBytes: 0, bytes: Buffer.from("raw") }]);
  const folder = request.options.outDirectory;
  for (const name of names) await writeFile(join(folder, name), "old");
  await writeOutputs(request);
  assert.deepEqual((await readdir(folder)).sort(), names);
  for (const name of names) assert.notEqual(await readFile(join(folder, name), "utf8"), "old");
});

test("writeOutputs calls a local package nobody's, and any other Debian's", async (t) => {
  const request = await requestFor(t, []);
  const own = { ...stub, name: "own" };
  const roles = { ...request.roles, userland: [own] };
  await writeOutputs({ ...request, roles, local: new Set(["own"]) });
  const path = join(request.options.outDirectory, "box.spdx.json");
  const { packages } = JSON.parse(await readFile(path, "utf8"));
  const of = (name: string) => packages.find((one: { name: string }) => one.name === name);
  assert.equal(of("own").supplier, undefined);
  assert.equal(of("own").externalRefs[0].referenceLocator, "pkg:generic/own@1?arch=amd64");
  assert.equal(of(stub.name).supplier, "Organization: Debian");
  const debian = "pkg:deb/debian/systemd-boot-efi@1?arch=amd64&distro=trixie";
  assert.equal(of(stub.name).externalRefs[0].referenceLocator, debian);
});

test("writeOutputs replaces none of them when one cannot be written", async (t) => {
  // The disk image fails when the EFI file has long been written.
  const parts = Array.from({ length: 64 }, (_, i) => ({
    offsetBytes: i * 64,
    bytes: Buffer.of(1),
  }));
  const last = {
    offsetBytes: 4095,
    get bytes(): Uint8Array {
      throw new Error("no more");
    },
  };
  const request = await requestFor(t, [...parts, last]);
  const folder = request.options.outDirectory;
  for (const name of names) await writeFile(join(folder, name), "old");
  await assert.rejects(writeOutputs(request), /^Error: no more$/);
  assert.deepEqual((await readdir(folder)).sort(), names);
  for (const name of names) assert.equal(await readFile(join(folder, name), "utf8"), "old", name);
});
