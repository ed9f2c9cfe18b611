import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeTrie, type TrieItem, trieFlags, trieHeader, trieMagic } from "./trie.ts";

const item = (key: string, value = "", priority = 0): TrieItem => ({ key, value, priority });

// Files that kmod 34.2's depmod wrote for these modules.builtin and modules.builtin.modinfo.
const vectors = [
  { name: "no key", items: [], hex: "b007f457000200010000000c" },
  {
    name: "one key is the start of another",
    items: [item("vt"), item("vt_core"), item("unix")],
    hex:
      "b007f457000200012000000c7576c0000016e00000236e69780000000001000000000074005f5fc0000034" +
      "000000010000000000636f726500000000010000000000",
  },
  {
    name: "two values under one key: the later first",
    items: [item("char_major_4_*", "vt"), item("net_pf_1", "unix"), item("net_pf_1", "vt_core")],
    hex:
      "b007f457000200012000000c636ec000003e0000000000000000000000000000000000000000000000000000" +
      "0000000000000000000000000000c00000576861725f6d616a6f725f345f2a00000000010000000076740065" +
      "745f70665f3100000000020000000076745f636f72650000000000756e697800",
  },
];

test("encodeTrie writes what depmod writes", () => {
  for (const { name, items, hex } of vectors) {
    assert.equal(Buffer.from(encodeTrie(items)).toString("hex"), hex, name);
  }
});

test("encodeTrie orders the values of a key by priority", () => {
  const items = [item("k", "c", 3), item("k", "a", 1), item("k", "b", 2), item("k", "b'", 2)];
  assert.deepEqual(
    decodeTrie(encodeTrie(items)).map(({ value }) => value),
    ["a", "b'", "b", "c"],
  );
});

test("encodeTrie takes keys from an empty one to several starts of each other", () => {
  const items = ["", "a", "ab", "abc", "b"].map((key, i) => item(key, `v${i}`, i));
  assert.deepEqual(decodeTrie(encodeTrie(items)), items);
});

test("encodeTrie refuses what a 7-bit index cannot hold", () => {
  assert.throws(() => encodeTrie([item("caf\u00e9")]), /7-bit text only, not "café"/);
  assert.throws(() => encodeTrie([item("a\0b")]), RangeError);
  assert.throws(() => encodeTrie([item("a", "\u00e9")]), RangeError);
});

test("encodeTrie loses nothing, and does not depend on the order of keys", () => {
  const key = fc.string({ unit: fc.constantFrom("a", "b", "_", "~"), maxLength: 6 });
  const keys = fc.uniqueArray(key, { maxLength: 30 });
  fc.assert(
    fc.property(keys, (all) => {
      const items = all.map((name, i) => item(name, `${name}:${i}`, i));
      const file = encodeTrie(items);
      const byKey = items.toSorted((a, b) => (a.key < b.key ? -1 : 1));
      assert.deepEqual(decodeTrie(file), byKey);
      assert.deepEqual(encodeTrie(byKey), file);
    }),
    { seed: 20261123, numRuns: 300 },
  );
});

/** Reads an index as libkmod does: every key with its values, in the order of the file. */
function decodeTrie(file: Uint8Array): TrieItem[] {
  const buffer = Buffer.from(file);
  const { root, ...magic } = trieHeader.decode(file);
  assert.deepEqual(magic, trieMagic);
  const items: TrieItem[] = [];
  const visit = (reference: number, before: string): void => {
    let rest = reference;
    const has = (flag: number) => {
      if (rest < flag) return false;
      rest -= flag;
      return true;
    };
    const prefixed = has(trieFlags.prefix);
    const valued = has(trieFlags.values);
    const parent = has(trieFlags.children);
    let at = rest;
    const text = () => {
      const end = buffer.indexOf(0, at);
      const read = buffer.toString("latin1", at, end);
      at = end + 1;
      return read;
    };
    const key = before + (prefixed ? text() : "");
    const children: { code: number; reference: number }[] = [];
    if (parent) {
      const first = buffer[at]!;
      const last = buffer[at + 1]!;
      at += 2;
      for (let code = first; code <= last; code++, at += 4) {
        const child = buffer.readUInt32BE(at);
        if (child !== 0) children.push({ code, reference: child });
      }
    }
    const count = valued ? buffer.readUInt32BE(at) : 0;
    if (valued) at += 4;
    for (let i = 0; i < count; i++) {
      const priority = buffer.readUInt32BE(at);
      at += 4;
      items.push({ key, value: text(), priority });
    }
    for (const child of children) visit(child.reference, key + String.fromCharCode(child.code));
  };
  visit(root, "");
  return items;
}
