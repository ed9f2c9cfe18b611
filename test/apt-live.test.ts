/**
 * The package side of the builder against the real archive: the host's mirror, Debian's own keys.
 * Needs the network; prints timings as diagnostics.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  findMirrors,
  findProxy,
  type LoadedIndex,
  loadIndex,
  type Mirrors,
  resolvePackages,
} from "../src/image/apt/index.ts";
import {
  fetchPackages,
  openTransport,
  proxyFromEnvironment,
  type Transport,
} from "../src/image/fetch/index.ts";

const wanted = ["systemd", "udev", "openssh-server"];

let cacheDirectory: string;
let transport: Transport;
let mirrors: Mirrors;
let loaded: LoadedIndex;

before(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), "diskomator-apt-"));
  transport = openTransport({ proxy: await findProxy(proxyFromEnvironment(process.env)) });
  mirrors = await findMirrors();
});

after(async () => {
  await transport[Symbol.asyncDispose]();
  await rm(cacheDirectory, { recursive: true });
});

test("loadIndex verifies trixie's three suites and reads all their packages", async (t) => {
  for (const state of ["empty", "full"]) {
    const start = performance.now();
    loaded = await loadIndex({
      mirrors,
      release: "trixie",
      components: ["main", "non-free-firmware"],
      architecture: "amd64",
      cacheDirectory,
      transport,
      now: new Date(),
      log: (event, fields) => t.diagnostic(`${event} ${JSON.stringify(fields)}`),
    });
    t.diagnostic(`loadIndex, ${state} cache: ${Math.round(performance.now() - start)} ms`);
  }
  assert.deepEqual(
    loaded.releases.map(({ suite }) => suite),
    ["trixie", "trixie-updates", "trixie-security"],
  );
  assert.ok(loaded.packages.packageCount > 60_000);
});

test("resolvePackages finds each wanted package and closes over its dependencies", (t) => {
  const start = performance.now();
  const { packages, leftOut } = resolvePackages({
    appliance: "live",
    architecture: "amd64",
    index: loaded.packages,
    wanted,
    excludeDependencies: { debconf: "maintainer scripts do not run" },
  });
  t.diagnostic(`${packages.length} packages in ${Math.round(performance.now() - start)} ms`);
  const names = packages.map(({ record }) => record.name);
  for (const name of [...wanted, "libc6", "libsystemd-shared"]) {
    assert.ok(names.includes(name), name);
  }
  assert.ok(!names.includes("debconf"));
  assert.ok(leftOut.find(({ name }) => name === "debconf")?.askedBy.includes("openssh-server"));
});

test("fetchPackages brings what was resolved, verified", async (t) => {
  const { packages } = resolvePackages({
    appliance: "live",
    architecture: "amd64",
    index: loaded.packages,
    wanted,
    excludeDependencies: {},
  });
  const locked = packages.map(({ record }) => ({ ...record, scripts: {} }));
  const start = performance.now();
  let doneBytes = 0;
  const files = await fetchPackages(locked, {
    mirrors,
    cacheDirectory,
    transport,
    onProgress: (progress) => {
      doneBytes = progress.doneBytes;
    },
  });
  const seconds = (performance.now() - start) / 1000;
  t.diagnostic(
    `${files.size} files, ${(doneBytes / 1e6).toFixed(1)} MB in ${seconds.toFixed(1)} s, ` +
      `${(doneBytes / 1e6 / seconds).toFixed(1)} MB/s`,
  );
  assert.equal(files.size, locked.length);
  assert.equal(
    doneBytes,
    locked.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  );
});
