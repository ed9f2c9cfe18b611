/**
 * `kernelJob` on Debian's kernel and firmware, and its index files against kmod's own depmod, which
 * runs from its unpacked packages with their dynamic linker.
 * Needs the network (the host's mirror) and Linux on x86-64; prints sizes and times as diagnostics.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { findMirrors, findProxy, loadIndex } from "../src/image/apt/index.ts";
import { loadDefinition } from "../src/image/build/index.ts";
import { fetchPackages, openTransport, proxyFromEnvironment } from "../src/image/fetch/index.ts";
import type { Entry, ModuleClass } from "../src/image/index.ts";
import { type KernelJobOutput, kernelJob, moduleClasses } from "../src/image/kernel/index.ts";
import { readDeb, treeOfDeb } from "../src/image/unpack/index.ts";

const epochSeconds = 1_760_000_000;
const { kernel } = await loadDefinition(join(import.meta.dirname, "../appliances/diskomator.ts"));
const { firmwarePackages = [], microcodePackages = [], excludeFirmware = [] } = kernel;
const { unpackedModules = [] } = kernel;
const kmodPackages = ["kmod", "libc6", "libkmod2", "liblzma5", "libssl3t64", "libzstd1", "zlib1g"];

let scratch: string;
let kernelFiles: readonly Entry[];
let output: KernelJobOutput;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "diskomator-depmod-"));
  const packages = await fetchEntries();
  const entriesOf = (names: readonly string[]) => names.flatMap((name) => packages.get(name)!);
  const image = [...packages.keys()].filter((name) => name.startsWith("linux-image-"));
  kernelFiles = entriesOf(image);
  output = kernelJob({
    definition: {
      classes: Object.keys(moduleClasses) as ModuleClass[],
      excludeFirmware,
      unpackedModules,
    },
    kernelFiles,
    firmwareFiles: entriesOf(firmwarePackages),
    microcodeFiles: entriesOf(microcodePackages),
    epochSeconds,
  });
  await writeTree(entriesOf(kmodPackages), join(scratch, "kmod"));
});

after(() => rm(scratch, { recursive: true }));

test("moduleClasses has no rule that Debian's kernel has nothing for", () => {
  assert.deepEqual(output.report.unmatchedRules, []);
});

test("kernelJob stays within the modules' and the firmware's share of the image", (t) => {
  const { modules, modulePackedBytes, moduleRawBytes, firmwareBytes } = output.report;
  t.diagnostic(
    `${output.release}: ${modules.length} modules, ${modulePackedBytes} bytes packed, ` +
      `${moduleRawBytes} unpacked; firmware ${firmwareBytes} bytes`,
  );
  for (const { module, bytes, files } of output.report.firmwareByModule) {
    t.diagnostic(`firmware ${module}: ${bytes} bytes in ${files} files`);
  }
  for (const { module, name } of output.report.firmwareMissing) {
    t.diagnostic(`firmware missing: ${module} ${name}`);
  }
  assert.deepEqual(output.report.unusedFirmwareExclusions, []);
  assert.ok(modulePackedBytes + firmwareBytes < 45e6);
  for (const name of ["nvmet_tcp", "nvme", "ahci", "mpt3sas", "e1000e", "r8152", "usbhid", "tls"]) {
    assert.ok(
      modules.some((module) => module.name === name),
      name,
    );
  }
});

test("depmod writes byte for byte what kmod's depmod writes for the same modules", async (t) => {
  const root = join(scratch, "root");
  const folder = `usr/lib/modules/${output.release}`;
  const isIndex = ({ path }: Entry) => dirname(path) === folder && path !== `${folder}/kernel`;
  await writeTree(
    output.entries.filter((entry) => !isIndex(entry)),
    root,
  );
  await writeTree(kernelFiles.filter(isIndex), root);
  await symlink("usr/lib", join(root, "lib"));
  await runDepmod(root, output.release);
  const indexes = output.entries.filter(isIndex);
  assert.equal(indexes.length, 9);
  for (const index of indexes) {
    assert.ok(index.type === "file");
    const wanted = await readFile(join(root, index.path));
    t.diagnostic(`${index.path.slice(folder.length + 1)}: ${wanted.length} bytes`);
    assert.ok(wanted.equals(index.data), index.path);
  }
});

/** The entries of every package that the test needs, by name; the kernel is what amd64 follows. */
async function fetchEntries(): Promise<Map<string, readonly Entry[]>> {
  await using transport = openTransport({
    proxy: await findProxy(proxyFromEnvironment(process.env)),
  });
  const mirrors = await findMirrors();
  const shared = { mirrors, transport, cacheDirectory: join(scratch, "cache") };
  const { packages } = await loadIndex({
    ...shared,
    release: "trixie",
    components: ["main", "non-free-firmware"],
    architecture: "amd64",
    now: new Date(),
  });
  const newest = (name: string) => {
    const [record] = packages.named(name);
    assert.ok(record, `the archive has ${name}`);
    return { ...record, scripts: {} };
  };
  const image = /linux-image-[^ ,]+/.exec(newest("linux-image-amd64").depends)?.[0];
  assert.ok(image);
  const names = [image, ...firmwarePackages, ...microcodePackages, ...kmodPackages];
  const files = await fetchPackages(names.map(newest), shared);
  const entries = new Map<string, readonly Entry[]>();
  for (const [name, path] of files) {
    const tree = treeOfDeb(readDeb(await readFile(path), name), {
      filters: [],
      keepSetuid: [],
      capture: [],
      userIds: {},
      groupIds: {},
      epochSeconds,
    });
    entries.set(name, tree.entries);
  }
  return entries;
}

async function writeTree(entries: readonly Entry[], root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const entry of entries) {
    const path = join(root, entry.path);
    if (entry.type === "directory") await mkdir(path, { recursive: true });
    else if (entry.type === "symlink") await symlink(entry.target, path).catch(ignoreExisting);
    else if (entry.type === "file") {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, entry.data, { mode: entry.mode });
    }
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

/** Runs kmod as `depmod`, without any configuration. */
async function runDepmod(root: string, release: string): Promise<void> {
  const libraries = join(scratch, "kmod/usr/lib/x86_64-linux-gnu");
  const configuration = join(scratch, "no-configuration");
  await mkdir(configuration);
  const { stderr } = await promisify(execFile)(join(libraries, "ld-linux-x86-64.so.2"), [
    ...["--argv0", "depmod", "--library-path", libraries, join(scratch, "kmod/usr/bin/kmod")],
    ...["-b", root, "-C", configuration, release],
  ]);
  assert.equal(stderr, "");
}
