import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { moduleName, parseBuiltinAliases, parseModinfo, softdepNames } from "./modinfo.ts";

const latin1 = (text: string) => Buffer.from(text, "latin1");

test("parseModinfo keeps what choosing and indexing need, in file order", () => {
  const section = latin1(
    "license=GPL\0alias=pci:v1d*\0alias=fs-x\0depends=a,b-c\0softdep=pre: d post: e\0" +
      "weakdep=f g\0firmware=x/y.bin\0firmware=x/*.bin\0\0\0intree=Y\0alias=k=v\0broken\0",
  );
  assert.deepEqual(parseModinfo(section), {
    aliases: ["pci:v1d*", "fs-x", "k=v"],
    depends: ["a", "b-c"],
    softdeps: ["pre: d post: e"],
    weakdeps: ["f g"],
    firmware: ["x/y.bin", "x/*.bin"],
  });
});

test("parseModinfo takes an empty depends as none", () => {
  assert.deepEqual(parseModinfo(latin1("depends=\0")).depends, []);
});

test("parseModinfo gives back every record of the kinds that it keeps", () => {
  const value = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.array(value, { maxLength: 6 }), (aliases) => {
      const section = latin1(aliases.map((alias) => `alias=${alias}\0`).join("\0"));
      assert.deepEqual(parseModinfo(section).aliases, aliases);
    }),
    { seed: 20261123, numRuns: 200 },
  );
});

test("parseBuiltinAliases reads module and alias, and nothing else", () => {
  const file = latin1(
    "vt.alias=char-major-4-*\0vt.license=GPL\0a.alias=\0.alias=x\0b.alias=c.d=e\0",
  );
  assert.deepEqual(parseBuiltinAliases(file), [
    { module: "vt", alias: "char-major-4-*" },
    { module: "b", alias: "c.d=e" },
  ]);
});

test("softdepNames takes modules before and after", () => {
  assert.deepEqual(softdepNames("pre: a  b-c post: d"), ["a", "b-c", "d"]);
  assert.deepEqual(softdepNames(""), []);
});

test("moduleName drops folder and suffixes and uses underscores", () => {
  for (const [given, wanted] of [
    ["kernel/drivers/nvme/host/nvme-tcp.ko.xz", "nvme_tcp"],
    ["nvme-tcp.ko", "nvme_tcp"],
    ["nvme-tcp", "nvme_tcp"],
  ] as const) {
    assert.equal(moduleName(given), wanted);
  }
});
