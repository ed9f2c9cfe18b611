/**
 * The index files that libkmod looks names up in: a Patricia trie over 7-bit keys
 * (kmod 34, comment at the top of `libkmod/libkmod-index.c`; unaligned, big-endian).
 */

import { layout, u8, u32be, viewOf } from "../../bytes/index.ts";

/** A value under a key; a key may have many. */
export interface TrieItem {
  readonly key: string;
  readonly value: string;
  /** Lower comes first when libkmod looks the key up. */
  readonly priority: number;
}

/** The file's start; `root` is the offset of the first node with its flags. */
export const trieHeader = layout("kmod index header", 12, {
  magic: u32be,
  version: u32be,
  root: u32be,
});
const nodeRange = layout("kmod index children", 2, { first: u8, last: u8 });

/** `INDEX_MAGIC` and version 2.1. */
export const trieMagic = { magic: 0xb007f457, version: 0x0002_0001 } as const;

/** Flags in the high four bits of a node's offset; added to it, since they never overlap. */
export const trieFlags = {
  prefix: 0x8000_0000,
  values: 0x4000_0000,
  children: 0x2000_0000,
} as const;

interface Node {
  readonly prefix: string;
  readonly items: readonly TrieItem[];
  /** In ascending order of their first character. */
  readonly children: readonly { readonly code: number; readonly node: Node }[];
  /** Bytes of this node alone, and with all below it. */
  readonly ownBytes: number;
  readonly totalBytes: number;
}

/**
 * The index file for `items`, byte for byte as depmod makes it when it inserts them in this order:
 * of the values of one key those with the lower priority come first, then the later inserted.
 * @throws RangeError when a key or value is not 7-bit text without NUL.
 */
export function encodeTrie(items: Iterable<TrieItem>): Uint8Array {
  const sorted = [...items].reverse();
  for (const { key, value } of sorted) {
    if (!isSevenBit(key) || !isSevenBit(value)) {
      throw new RangeError(`An index takes 7-bit text only, not "${key}" → "${value}".`);
    }
  }
  // Stable: what was inserted later stays first among equals.
  sorted.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.priority - b.priority));
  const root = makeNode(sorted, 0, 0);
  const file = new Uint8Array(trieHeader.size + root.totalBytes);
  trieHeader.encodeInto({ ...trieMagic, root: reference(root, trieHeader.size) }, file);
  writeNode(root, file, viewOf(file), trieHeader.size);
  return file;
}

function isSevenBit(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0 || code > 0x7f) return false;
  }
  return true;
}

/** The node for `items`, whose keys share their first `depth` characters, then `prefix` more. */
function makeNode(items: readonly TrieItem[], depth: number, prefixLength: number): Node {
  const end = depth + prefixLength;
  const prefix = items[0]?.key.slice(depth, end) ?? "";
  let at = 0;
  while (at < items.length && items[at]!.key.length === end) at++;
  const own = items.slice(0, at);
  const children: { code: number; node: Node }[] = [];
  while (at < items.length) {
    const code = items[at]!.key.charCodeAt(end);
    let next = at + 1;
    while (next < items.length && items[next]!.key.charCodeAt(end) === code) next++;
    const group = items.slice(at, next);
    children.push({ code, node: makeNode(group, end + 1, sharedLength(group, end + 1)) });
    at = next;
  }
  let ownBytes = prefix === "" ? 0 : prefix.length + 1;
  if (children.length > 0) ownBytes += nodeRange.size + u32be.size * span(children);
  if (own.length > 0) ownBytes += u32be.size;
  for (const { value } of own) ownBytes += u32be.size + value.length + 1;
  let totalBytes = ownBytes;
  for (const { node } of children) totalBytes += node.totalBytes;
  return { prefix, items: own, children, ownBytes, totalBytes };
}

/** How many characters from `from` on all keys share; the keys are sorted. */
function sharedLength(items: readonly TrieItem[], from: number): number {
  const first = items[0]!.key;
  const last = items.at(-1)!.key;
  let length = 0;
  while (
    from + length < first.length &&
    first.charCodeAt(from + length) === last.charCodeAt(from + length)
  ) {
    length++;
  }
  return length;
}

/** How many slots the child table has: from the lowest to the highest character. */
function span(children: Node["children"]): number {
  return children.at(-1)!.code - children[0]!.code + 1;
}

function reference(node: Node, offset: number): number {
  let flags = 0;
  if (node.prefix !== "") flags += trieFlags.prefix;
  if (node.items.length > 0) flags += trieFlags.values;
  if (node.children.length > 0) flags += trieFlags.children;
  return offset + flags;
}

function writeNode(node: Node, file: Uint8Array, view: DataView, start: number): void {
  let at = start;
  if (node.prefix !== "") at = writeText(file, at, node.prefix);
  if (node.children.length > 0) {
    const first = node.children[0]!.code;
    nodeRange.write(view, at, { first, last: node.children.at(-1)!.code });
    at += nodeRange.size;
    let childStart = start + node.ownBytes;
    for (const { code, node: child } of node.children) {
      u32be.write(view, at + (code - first) * u32be.size, reference(child, childStart));
      writeNode(child, file, view, childStart);
      childStart += child.totalBytes;
    }
    at += span(node.children) * u32be.size;
  }
  if (node.items.length === 0) return;
  u32be.write(view, at, node.items.length);
  at += u32be.size;
  for (const { value, priority } of node.items) {
    u32be.write(view, at, priority);
    at = writeText(file, at + u32be.size, value);
  }
}

/** Writes NUL-terminated text; returns the offset after it. */
function writeText(file: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) file[at + i] = text.charCodeAt(i);
  return at + text.length + 1;
}
