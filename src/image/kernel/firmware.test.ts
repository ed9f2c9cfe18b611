import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../entry.ts";
import { selectFirmware } from "./firmware.ts";
import { fileEntry, linkEntry } from "./testing/fixture.ts";

const at = (name: string) => `usr/lib/firmware/${name}`;
const packages: Entry[] = [
  fileEntry(at("rtl_nic/a.fw"), "aaaa"),
  fileEntry(at("rtl_nic/b.fw"), "aaaa"),
  fileEntry(at("rtl_nic/unwanted.fw"), "u"),
  fileEntry(at("intel/ice/ddp/ice-1.3.pkg"), "ice"),
  linkEntry(at("intel/ice/ddp/ice.pkg"), "ice-1.3.pkg"),
  linkEntry(at("old"), "intel/ice"),
  linkEntry(at("loop-a"), "loop-b"),
  linkEntry(at("loop-b"), "loop-a"),
  linkEntry(at("dangling"), "../nowhere"),
  linkEntry(at("absolute"), "/usr/lib/firmware/rtl_nic/a.fw"),
  fileEntry(at("packed.bin.xz"), "xz"),
  fileEntry(at("packed.bin.zst"), "zst"),
  fileEntry("usr/share/doc/x", "no firmware"),
];
const select = (names: readonly string[], exclude: readonly string[] = []) =>
  selectFirmware(packages, [{ module: "m", names }], exclude);
const paths = (entries: readonly Entry[]) =>
  entries.map(({ path }) => path.replace("usr/lib/firmware/", ""));

test("selectFirmware takes exactly what is asked for", () => {
  const { entries, missing, byModule } = select(["rtl_nic/a.fw"]);
  assert.deepEqual(entries, [packages[0]]);
  assert.deepEqual(missing, []);
  assert.deepEqual(byModule, [{ module: "m", bytes: 4, files: 1 }]);
});

test("selectFirmware keeps links with what they lead to", () => {
  const ice = ["intel/ice/ddp/ice-1.3.pkg", "intel/ice/ddp/ice.pkg"];
  assert.deepEqual(paths(select(["intel/ice/ddp/ice.pkg"]).entries), ice);
  assert.deepEqual(paths(select(["old/ddp/ice.pkg"]).entries), [...ice, "old"]);
  assert.deepEqual(paths(select(["absolute"]).entries), ["absolute", "rtl_nic/a.fw"]);
});

test("selectFirmware takes a link that goes round or nowhere as missing", () => {
  for (const name of ["loop-a", "dangling", "rtl_nic/a.fw/x", "rtl_nic"]) {
    assert.deepEqual(select([name]).missing, [{ module: "m", name }]);
    assert.deepEqual(select([name]).entries, []);
  }
});

test("selectFirmware finds compressed files in the loader's order", () => {
  assert.deepEqual(paths(select(["packed.bin"]).entries), ["packed.bin.zst"]);
});

test("selectFirmware expands patterns, and reports one without a match as it is", () => {
  assert.deepEqual(paths(select(["rtl_nic/?.fw"]).entries), ["rtl_nic/a.fw", "rtl_nic/b.fw"]);
  assert.deepEqual(select(["brcm/*.txt"]).missing, [{ module: "m", name: "brcm/*.txt" }]);
});

test("selectFirmware leaves out what is excluded, and says which exclusions did nothing", () => {
  const { entries, missing, unusedExclusions } = select(
    ["rtl_nic/a.fw", "gone.fw"],
    ["rtl_nic/**", "gone.fw", "nothing/**"],
  );
  assert.deepEqual(entries, []);
  assert.deepEqual(missing, []);
  assert.deepEqual(unusedExclusions, ["nothing/**"]);
});

test("selectFirmware makes the second of two identical files a hard link", () => {
  const { entries } = select(["rtl_nic/a.fw", "rtl_nic/b.fw"]);
  assert.deepEqual(entries[1], {
    type: "hardlink",
    path: at("rtl_nic/b.fw"),
    target: at("rtl_nic/a.fw"),
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: 7,
  });
});

test("selectFirmware lists modules by the size of their firmware", () => {
  const { byModule } = selectFirmware(packages, [
    { module: "small", names: ["intel/ice/ddp/ice.pkg"] },
    { module: "none", names: ["nothing.bin"] },
    { module: "large", names: ["rtl_nic/a.fw"] },
  ]);
  assert.deepEqual(
    byModule.map(({ module }) => module),
    ["large", "small"],
  );
});
