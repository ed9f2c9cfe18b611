import assert from "node:assert/strict";
import { test } from "node:test";
import { defineAppliance } from "../definition.ts";
import { ImageError } from "../error.ts";
import type { LockedPackage } from "../lock.ts";
import { assignRoles, checkRelease } from "./plan.ts";

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

test("checkRelease refuses the lock of another release, naming both", () => {
  const lockOf = (suite: string) => ({
    ...({ format: 1, appliance: "box", packages: [], npm: [], ids: {}, epochSeconds: 0 } as const),
    releases: [{ archive: "debian", suite, date: "2026-11-21T09:15:44.000Z", sha256: "00" }],
  });
  checkRelease(definition, lockOf("trixie"));
  assert.throws(() => checkRelease(definition, lockOf("bookworm")), {
    name: "ImageError",
    code: "lock",
    message: /of bookworm, and the definition asks for trixie\. Run build --update/,
  });
});
