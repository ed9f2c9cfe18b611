import assert from "node:assert/strict";
import { test } from "node:test";
import { checkDefinition } from "./definition-check.ts";

const good = {
  name: "box",
  title: "A box",
  version: "1.0",
  release: "trixie",
  architecture: "amd64",
  components: ["main"],
  packages: ["systemd"],
  excludeDependencies: {},
  kernel: { package: "linux-image-amd64", classes: [] },
  enable: ["box.service"],
  defaultTarget: "box.target",
  kernelCommandLine: ["quiet"],
};

test("checkDefinition gives back a definition that it has nothing against", () => {
  assert.equal(checkDefinition(good, "box.ts"), good);
});

const wrongs: readonly (readonly [what: string, value: unknown, says: RegExp])[] = [
  ["no export", undefined, /box\.ts: it has no default export/],
  ["a number", 1, /no default export/],
  ["a field too few", { ...good, title: undefined }, /its field title is missing/],
  ["a field that is none", { ...good, exclude: [] }, /no field exclude\. The fields are name, /],
  ["a name with a blank", { ...good, name: "My box" }, /field name .* found "My box"/],
  ["a title of two lines", { ...good, title: "a\nb" }, /field title/],
  ["a version with a blank", { ...good, version: "1 0" }, /field version/],
  ["a release by number", { ...good, release: "13" }, /a Debian code name; found "13"/],
  ["another architecture", { ...good, architecture: "arm64" }, /should be amd64; found "arm64"/],
  ["components as text", { ...good, components: "main" }, /a list of components; found "main"/],
  ["a package twice", { ...good, packages: ["a", "b", "a"] }, /each package once, and "a" is/],
  [
    "two parameters in one",
    { ...good, kernelCommandLine: ["quiet panic=3"] },
    /one parameter each/,
  ],
  ["a file outside", { ...good, files: { "../etc/passwd": { text: "" } } }, /without .* dots/],
  ["an absolute file", { ...good, files: { "/etc/x": { text: "" } } }, /leading slash/],
  ["a private key", { ...good, authorizedKeys: ["-----BEGIN"] }, /public keys, one line each/],
  ["a file of no content", { ...good, files: { "etc/x": { text: "" } } }, /and etc\/x has other/],
  ["a mode as text", { ...good, files: { x: { content: "", mode: "755" } } }, /and x has other/],
  ["no kernel", { ...good, kernel: undefined }, /its field kernel is missing/],
  ["a kernel by name", { ...good, kernel: "linux-image-amd64" }, /an object with its package/],
  [
    "a kernel's field that is none",
    { ...good, kernel: { ...good.kernel, excludeModule: ["a"] } },
    /field kernel .* and has excludeModule; found/,
  ],
  ["a kernel without classes", { ...good, kernel: { package: "a" } }, /with classes as a list/],
  [
    "a class that is none",
    { ...good, kernel: { ...good.kernel, classes: ["stroage"] } },
    /network-wired, .* and "stroage" is none/,
  ],
  ["exclusions as a list", { ...good, excludeDependencies: ["a"] }, /a reason for each package/],
  ["a mask as text", { ...good, mask: "a.service" }, /field mask should be a list of units/],
  ["an empty host key", { ...good, sshHostKey: "" }, /field sshHostKey should be a private key/],
  ["a unit without suffix", { ...good, enable: ["box"] }, /unit names with their suffix/],
  ["no target", { ...good, defaultTarget: "box.service" }, /the name of a \.target unit/],
];

test("checkDefinition names the field, what was found and what is wanted", () => {
  for (const [what, value, message] of wrongs) {
    const error = { name: "ImageError", code: "definition", message };
    assert.throws(() => checkDefinition(value, "box.ts"), error, what);
  }
});

test("checkDefinition shows nothing of a host key that is none", () => {
  const sshHostKey = "hunter2";
  assert.throws(
    () => checkDefinition({ ...good, sshHostKey }, "box.ts"),
    (error) =>
      error instanceof Error && /sshHostKey/.test(error.message) && !/hunter2/.test(error.message),
  );
});
