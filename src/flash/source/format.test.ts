import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { detectFormat, detectFormatByTail, zstdContentBytes } from "./format.ts";

const bytes = (hex: string) => Buffer.from(hex.padEnd(1024, "0"), "hex");

test("detectFormat tells packed files by their first bytes", () => {
  const table = [
    ["raw", ""],
    ["raw", "425a6839"],
    ["gzip", "1f8b08"],
    ["xz", "fd377a585a00"],
    ["zstd", "28b52ffd"],
    ["zstd", "502a4d18"],
    ["bzip2", "425a6839314159265359"],
    ["bzip2", "425a683117724538509000"],
    ["zip", "504b0304"],
  ] as const;
  for (const [format, hex] of table) {
    assert.deepEqual(detectFormat(bytes(hex)), { kind: "packed", format }, hex);
  }
});

/** A header of tar; with `mark` where an MBR has its own. */
function tarHead(mark: number): Buffer {
  const head = Buffer.alloc(512);
  head.write("ustar", 257, "latin1");
  head[510] = mark;
  return head;
}

test("detectFormat takes a disk with an MBR for raw, and a text that is no page", () => {
  const raw = { kind: "packed", format: "raw" };
  assert.deepEqual(detectFormat(tarHead(0x55)), raw);
  assert.deepEqual(detectFormat(Buffer.from("<htmlish>")), raw);
});

test("detectFormat names foreign images and the way out", () => {
  const table = [
    ["qcow2", bytes("514649fb00000003"), /qemu-img convert -f qcow2/],
    ["VMDK", bytes("4b444d56"), /qemu-img convert -f vmdk/],
    ["VHDX", Buffer.from("vhdxfile"), /-f vhdx/],
    ["VHD", Buffer.from("conectix"), /-f vpc/],
    ["VDI", bytes(`${"3c".repeat(64)}7f10dabe`), /-f vdi/],
    ["7-Zip", bytes("377abcaf271c"), /7z x/],
    ["LZ4", bytes("04224d18"), /lz4 -d/],
    ["Android sparse image", bytes("3aff26ed"), /simg2img/],
    ["tar", tarHead(0), /tar xf/],
    ["HTML", Buffer.from("<!DOCTYPE html>\n<html>"), /look at the address/],
    ["HTML", Buffer.from("\uFEFF\n <HTML lang=en>"), /look at the address/],
  ] as const;
  for (const [format, head, wayOut] of table) {
    const found = detectFormat(head);
    assert.equal(found.kind === "foreign" && found.format, format);
    assert.match(found.kind === "foreign" ? found.wayOut : "", wayOut);
  }
});

test("detectFormatByTail finds a VHD of fixed size and an Apple disk image", () => {
  const tail = (text: string) => Buffer.from(text.padEnd(512, "\0"), "latin1");
  const vhd = detectFormatByTail(tail("conectix"));
  assert.equal(vhd?.kind === "foreign" && vhd.format, "VHD");
  const dmg = detectFormatByTail(tail("koly"));
  assert.equal(dmg?.kind === "foreign" && dmg.format, "Apple disk image");
  assert.equal(detectFormatByTail(tail("EFI PART")), undefined);
});

test("zstdContentBytes reads the length of a frame in all its widths", () => {
  // RFC 8878 section 3.1.1.1: descriptor, window, content size.
  const table = [
    [undefined, "28b52ffd0058"],
    [7, "28b52ffd2007"],
    [256 + 258, "28b52ffd600201"],
    [0x01020304, "28b52ffd800004030201"],
    [0x40000000, "28b52ffda000000040"],
    [5 * 2 ** 32, "28b52ffdc0580000000005000000"],
    [undefined, "1f8b08"],
  ] as const;
  for (const [wanted, hex] of table) assert.equal(zstdContentBytes(bytes(hex)), wanted, hex);
});

test("detectFormat and zstdContentBytes take any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 128 }), (head) => {
      detectFormat(head);
      zstdContentBytes(head);
      detectFormatByTail(head);
    }),
    { seed: 20261123, numRuns: 300 },
  );
});
