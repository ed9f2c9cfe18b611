import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ImageError } from "../error.ts";
import { readAr } from "./ar.ts";
import { arArchive, joined, utf8 } from "./testing/fixture.ts";

const read = (bytes: Uint8Array) =>
  readAr(bytes, "x.deb").map(({ name, data }) => [name, Buffer.from(data).toString()]);

test("readAr gives the members in order, past the padding of odd lengths", () => {
  const members = [
    ["debian-binary", "2.0\n"],
    ["odd", "abc"],
    ["last", "xy"],
  ] as const;
  assert.deepEqual(read(arArchive(members)), members);
});

test("readAr drops the slash that GNU ar puts after names", () => {
  assert.deepEqual(read(arArchive([["a.txt/", "1"]])), [["a.txt", "1"]]);
});

test("readAr takes a header as ar(1) of binutils writes it", () => {
  const header = "a.txt/          0           0     0     644     2         `\n";
  assert.deepEqual(read(utf8(`!<arch>\n${header}hi`)), [["a.txt", "hi"]]);
});

const good = arArchive([["member", "contents"]]);
const patched = (offset: number, text: string) => {
  const bytes = good.slice();
  bytes.set(utf8(text), offset);
  return bytes;
};
const malformedTable = [
  { name: "nothing", bytes: new Uint8Array(0), message: /x\.deb: its start is empty/ },
  { name: "another magic", bytes: patched(0, "!<thin>\n"), message: /its start is "!<thin>/ },
  { name: "a cut header", bytes: good.subarray(0, 40), message: /offset 8 is cut after 32 bytes/ },
  { name: "cut contents", bytes: good.subarray(0, -3), message: /"member" is cut after 5 bytes/ },
  { name: "no end mark", bytes: patched(66, "xx"), message: /without its end mark/ },
  { name: "a size in letters", bytes: patched(56, "8x"), message: /of size "8x"/ },
  { name: "no size", bytes: patched(56, " "), message: /of size ""/ },
  { name: "bytes after the end", bytes: joined(good, utf8("zz")), message: /cut after 2 bytes/ },
];
for (const { name, bytes, message } of malformedTable) {
  test(`readAr refuses ${name}`, () => {
    assert.throws(() => readAr(bytes, "x.deb"), { name: "ImageError", code: "package", message });
  });
}

test("readAr answers any bytes with members or an ImageError", () => {
  const damaged = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => {
    const bytes = good.slice();
    bytes[at] = byte;
    return bytes;
  });
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      try {
        for (const { data } of readAr(bytes, "x")) assert.ok(data.length <= bytes.length);
      } catch (error) {
        assert.ok(error instanceof ImageError && error.code === "package");
      }
    }),
    { seed: 20261123, numRuns: 500 },
  );
});
