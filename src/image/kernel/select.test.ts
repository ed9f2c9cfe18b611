import assert from "node:assert/strict";
import { test } from "node:test";
import { ImageError } from "../error.ts";
import { moduleClasses } from "./classes.ts";
import { type ModuleChoice, type Selection, selectModules } from "./select.ts";
import { type FixtureModule, kernelOf } from "./testing/fixture.ts";

const modules: FixtureModule[] = [
  { path: "drivers/nvme/host/nvme-core" },
  { path: "drivers/nvme/host/nvme", info: ["depends=nvme-core"] },
  { path: "drivers/nvme/target/nvmet", info: ["depends=nvme-core,vt", "weakdep=tls"] },
  { path: "drivers/nvme/target/nvmet-tcp", info: ["depends=nvmet"] },
  { path: "arch/x86/crypto/crc32c-intel", info: ["softdep=pre: crc32c missing"] },
  { path: "crypto/crc32c_generic", info: ["alias=crypto-crc32c", "alias=crc32c"] },
  { path: "crypto/crc32c" },
  { path: "net/tls/tls" },
];
const kernel = kernelOf(modules, "kernel/drivers/tty/vt.ko\n");
const select = (choice: Partial<ModuleChoice>) => selectModules(kernel, { classes: [], ...choice });
const names = ({ chosen }: Selection) => chosen.map(({ module }) => module.name);

function refuses(choice: Partial<ModuleChoice>, pattern: RegExp): void {
  assert.throws(
    () => select(choice),
    (error) => {
      assert.ok(error instanceof ImageError);
      assert.equal(error.code, "module");
      assert.match(error.message, pattern);
      return true;
    },
  );
}

test("selectModules closes a class over dependencies, with reasons, by path", () => {
  const selection = select({ classes: ["nvme-target"] });
  assert.deepEqual(
    selection.chosen.map(({ module, reason }) => [module.name, reason.kind]),
    [
      ["crc32c_intel", "class"],
      ["crc32c", "softdep"],
      ["crc32c_generic", "class"],
      ["nvme_core", "dependency"],
      ["nvmet_tcp", "class"],
      ["nvmet", "class"],
    ],
  );
  assert.deepEqual(selection.unmatched, []);
});

test("selectModules takes names with either dash, and globs over paths", () => {
  assert.deepEqual(names(select({ modules: ["nvme_core"] })), ["nvme_core"]);
  assert.deepEqual(names(select({ modules: ["nvme-core"] })), ["nvme_core"]);
  assert.deepEqual(names(select({ modules: ["kernel/drivers/nvme/host/*.ko"] })), [
    "nvme_core",
    "nvme",
  ]);
});

test("selectModules takes a built-in name and does nothing for it", () => {
  assert.deepEqual(names(select({ modules: ["vt"] })), []);
});

test("selectModules refuses what matches nothing and names what is near", () => {
  refuses(
    { modules: ["nvmet-tpc"] },
    /"nvmet-tpc" matches nothing in 6\.12\.1-test\. Near it: nvmet_tcp\./,
  );
  refuses({ modules: ["core"] }, /Near it: nvme_core\./);
  refuses({ modules: ["zzzzzzzz"] }, /matches nothing in 6\.12\.1-test\. Correct/);
  refuses({ modules: ["kernel/drivers/wifi/**"] }, /"kernel\/drivers\/wifi\/\*\*" matches nothing/);
  refuses({ excludeModules: ["nvmee"] }, /"nvmee" matches nothing/);
});

test("selectModules leaves out what is excluded, soft dependencies too", () => {
  const choice = { classes: ["nvme-target"], excludeModules: ["crc32c", "nvmet-tcp"] } as const;
  assert.deepEqual(names(select(choice)), ["crc32c_intel", "crc32c_generic", "nvme_core", "nvmet"]);
});

test("selectModules refuses to leave out what a chosen module needs", () => {
  refuses(
    { modules: ["nvme"], excludeModules: ["nvme-core"] },
    /module nvme: it needs nvme_core, which kernel\.excludeModules leaves out\. Exclude nvme too/,
  );
});

test("selectModules refuses a dependency that the package does not have", () => {
  const broken = kernelOf([{ path: "a", info: ["depends=b"] }]);
  assert.throws(
    () => selectModules(broken, { classes: [], modules: ["a"] }),
    /it needs b, which the kernel package does not have\.$/,
  );
});

test("selectModules notes rules of classes that the kernel has nothing for", () => {
  assert.deepEqual(select({ classes: ["tls"] }).unmatched, [
    { class: "tls", pattern: "gcm" },
    { class: "tls", pattern: "ghash-generic" },
    { class: "tls", pattern: "aesni-intel" },
    { class: "tls", pattern: "ghash-clmulni-intel" },
  ]);
});

test("selectModules lets a later rule of a class leave out what an earlier one took", () => {
  const net = kernelOf([
    { path: "drivers/net/ethernet/intel/igb" },
    { path: "drivers/net/ethernet/3com/3c589_cs" },
  ]);
  assert.deepEqual(names(selectModules(net, { classes: ["network-wired"] })), ["igb"]);
});

test("moduleClasses gives a reason for every rule, and no rule twice in a class", () => {
  for (const [name, rules] of Object.entries(moduleClasses)) {
    const patterns = rules.map(({ pattern }) => pattern);
    assert.equal(new Set(patterns).size, patterns.length, name);
    for (const { pattern, because } of rules) assert.ok(because.length > 3, pattern);
  }
});
