import assert from "node:assert/strict";
import { test } from "node:test";
import { ImageError } from "../error.ts";
import { depmod, normalizeAlias } from "./depmod.ts";
import { readKernelFiles } from "./modules.ts";
import { type FixtureModule, kernelEntries, kernelOf } from "./testing/fixture.ts";
import { encodeTrie } from "./trie.ts";

const modules: FixtureModule[] = [
  { path: "lib/crc", info: ["alias=crypto-crc"], exports: ["crc"] },
  {
    path: "net/core-lib",
    info: ["depends=crc", "softdep=pre: crc"],
    exports: ["send"],
    imports: ["crc"],
  },
  {
    path: "net/tcp",
    info: ["depends=crc,core-lib", "alias=net-pf-2", "alias=bad]", "weakdep=x"],
    imports: ["printk", "send", "crc"],
  },
  {
    path: "char/fuse",
    info: ["alias=devname:fuse", "alias=char-major-10-229"],
  },
];

function indexOf(list: readonly FixtureModule[], names?: readonly string[]) {
  const kernel = kernelOf(list);
  const chosen = [...kernel.modules.values()].filter(({ name }) => names?.includes(name) ?? true);
  const files = new Map(depmod(kernel, chosen).map(({ name, data }) => [name, data]));
  return (name: string) => Buffer.from(files.get(name)!).toString("latin1");
}

test("depmod lists each module with all that it needs, users before what they use", () => {
  const lines = [
    "kernel/lib/crc.ko:",
    "kernel/net/core-lib.ko: kernel/lib/crc.ko",
    "kernel/net/tcp.ko: kernel/net/core-lib.ko kernel/lib/crc.ko",
    "kernel/char/fuse.ko:",
  ];
  const read = indexOf(modules);
  assert.equal(read("modules.dep"), lines.map((line) => `${line}\n`).join(""));
  const names = ["crc", "core_lib", "tcp", "fuse"];
  const items = names.map((key, i) => ({ key, value: lines[i]!, priority: i }));
  assert.equal(read("modules.dep.bin"), Buffer.from(encodeTrie(items)).toString("latin1"));
});

test("depmod numbers modules by modules.order, and those that it does not name by path", () => {
  const entries = kernelEntries(modules).map((entry) =>
    entry.type === "file" && entry.path.endsWith("modules.order")
      ? { ...entry, data: Buffer.from("kernel/net/tcp.ko\n") }
      : entry,
  );
  const kernel = readKernelFiles(entries);
  const dep = depmod(kernel, [...kernel.modules.values()]).find(
    ({ name }) => name === "modules.dep",
  )!;
  assert.deepEqual(
    Buffer.from(dep.data)
      .toString()
      .match(/^[^:]+/gm),
    ["net/tcp", "char/fuse", "lib/crc", "net/core-lib"].map((path) => `kernel/${path}.ko`),
  );
});

test("depmod writes aliases, soft and weak dependencies and device nodes", () => {
  const read = indexOf(modules);
  assert.equal(
    read("modules.alias"),
    "# Aliases extracted from modules themselves.\nalias crypto-crc crc\nalias net-pf-2 tcp\n" +
      "alias bad] tcp\nalias devname:fuse fuse\nalias char-major-10-229 fuse\n",
  );
  assert.match(read("modules.softdep"), /\nsoftdep core_lib pre: crc\n$/);
  assert.match(read("modules.weakdep"), /\nweakdep tcp x\n$/);
  assert.match(read("modules.devname"), /^# .*\nfuse fuse c10:229\n$/);
  assert.ok(!read("modules.alias.bin").includes("bad"));
  assert.match(read("modules.symbols.bin"), /ymbol:/);
});

test("depmod leaves modules.devname empty when no module has a node", () => {
  assert.equal(indexOf(modules, ["crc"])("modules.devname"), "");
});

test("depmod refuses a set that is not closed, and one that goes round", () => {
  assert.throws(
    () => indexOf(modules, ["tcp"]),
    (error) =>
      error instanceof ImageError &&
      error.code === "module" &&
      /tcp\.ko: it needs the module crc/.test(error.message),
  );
  const round = [
    { path: "a", info: ["depends=b"], exports: ["a1"], imports: ["b1"] },
    { path: "b", info: ["depends=a"], exports: ["b1"], imports: ["a1"] },
  ];
  assert.throws(() => indexOf(round), /a, b need each other in a circle/);
});

test("depmod refuses an alias that an index cannot hold", () => {
  const list = [{ path: "a", info: ["alias=caf\u00e9"] }];
  assert.throws(
    () => indexOf(list),
    (error) => error instanceof ImageError && error.cause instanceof RangeError,
  );
});

test("normalizeAlias turns dashes into underscores outside of brackets", () => {
  for (const [alias, normal] of [
    ["crypto-gcm(aes)", "crypto_gcm(aes)"],
    ["usb:v[0-9]p-*", "usb:v[0-9]p_*"],
    ["a[b", undefined],
    ["a]b", undefined],
    ["", ""],
  ] as const) {
    assert.equal(normalizeAlias(alias), normal, alias);
  }
});
