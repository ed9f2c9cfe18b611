/**
 * The outer structure of .xz files: which blocks they have and how long each becomes, without
 * decompressing. It bounds the output beforehand, and lets blocks be decompressed side by side:
 * Debian's large packages are made of blocks of 24 MiB that do not depend on each other.
 * Source: "The .xz File Format" 1.2.1, sections 2 and 4.
 */

import { crc32 } from "node:zlib";
import { bytes, layout, paddingOf, roundUp, u32le, viewOf } from "../../bytes/index.ts";
import { malformed } from "./malformed.ts";

/** Stream Header, section 2.1.1. */
const xzStreamHeader = layout("xz stream header", 12, {
  magic: bytes(6),
  flags: bytes(2),
  crc: u32le,
});

/** Stream Footer, section 2.1.2; `backwardSize` is the index's length in units of 4, minus 1. */
const xzStreamFooter = layout("xz stream footer", 12, {
  crc: u32le,
  backwardSize: u32le,
  flags: bytes(2),
  magic: bytes(2),
});

const headerMagic = Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00);
const footerMagic = Uint8Array.of(0x59, 0x5a);

/** One block of a file, as the index describes it. */
export interface XzBlock {
  /** Where it starts in the file. */
  readonly offsetBytes: number;
  /** Length in the file without its padding to a multiple of 4. */
  readonly unpaddedBytes: number;
  /** Length of what it becomes. */
  readonly outputBytes: number;
  /** Stream flags, which name the kind of check. */
  readonly flags: Uint8Array;
}

/** Whether `file` starts like an .xz file. */
export function isXz(file: Uint8Array): boolean {
  return headerMagic.every((byte, i) => file[i] === byte);
}

/**
 * The blocks of the .xz file `file`, in their order, over all streams that it has.
 * @param source names the file in messages.
 * @throws ImageError `package` when header, index or footer do not fit each other.
 */
export function readXzBlocks(file: Uint8Array, source: string): XzBlock[] {
  const blocks: XzBlock[] = [];
  let end = file.length;
  do {
    while (end >= 4 && viewOf(file).getUint32(end - 4) === 0) end -= 4;
    const stream = readStreamBackwards(file, end, source);
    blocks.unshift(...stream.blocks);
    end = stream.startBytes;
  } while (end > 0);
  return blocks;
}

/** A complete .xz file that holds nothing but `block` of `file`; the block's bytes are copied. */
export function xzFileOfBlock(file: Uint8Array, block: XzBlock): Uint8Array<ArrayBuffer> {
  const { flags, offsetBytes, unpaddedBytes, outputBytes } = block;
  const paddedBytes = roundUp(unpaddedBytes, 4);
  const records = [0, 1, ...encodeNumber(unpaddedBytes), ...encodeNumber(outputBytes)];
  const index = new Uint8Array(roundUp(records.length, 4) + 4);
  index.set(records);
  viewOf(index).setUint32(index.length - 4, crc32(index.subarray(0, -4)), true);

  const footer = { crc: 0, backwardSize: index.length / 4 - 1, flags, magic: footerMagic };
  footer.crc = crc32(xzStreamFooter.encode(footer).subarray(4, 10));
  const made = new Uint8Array(
    xzStreamHeader.size + paddedBytes + index.length + xzStreamFooter.size,
  );
  xzStreamHeader.encodeInto({ magic: headerMagic, flags, crc: crc32(flags) }, made);
  made.set(file.subarray(offsetBytes, offsetBytes + paddedBytes), xzStreamHeader.size);
  made.set(index, xzStreamHeader.size + paddedBytes);
  xzStreamFooter.encodeInto(footer, made, made.length - xzStreamFooter.size);
  return made;
}

/** The stream that ends at `end`, read from its footer over its index to its header. */
function readStreamBackwards(
  file: Uint8Array,
  end: number,
  source: string,
): { startBytes: number; blocks: XzBlock[] } {
  const broken = (part: string, found: string, wanted: string) =>
    malformed({ source, part: `the xz ${part}`, found, wanted });
  const footerOffset = end - xzStreamFooter.size;
  if (footerOffset < xzStreamHeader.size) throw broken("stream", `of ${end} bytes`, "longer");
  const footer = xzStreamFooter.decode(file, footerOffset);
  const footerCrc = crc32(file.subarray(footerOffset + 4, footerOffset + 10));
  if (!footer.magic.every((byte, i) => byte === footerMagic[i]) || footer.crc !== footerCrc) {
    throw broken("stream", "without its footer", "complete");
  }
  const indexBytes = (footer.backwardSize + 1) * 4;
  const indexOffset = footerOffset - indexBytes;
  if (indexOffset < xzStreamHeader.size) {
    throw broken("index", `of ${indexBytes} bytes`, "shorter than its stream");
  }
  const index = file.subarray(indexOffset, footerOffset);
  if (crc32(index.subarray(0, -4)) !== viewOf(index).getUint32(indexBytes - 4, true)) {
    throw broken("index", "of another checksum than it says", "intact");
  }
  const records = readIndex(index.subarray(0, -4));
  if (records === undefined) throw broken("index", "unreadable", "a list of sizes");

  const bodyBytes = records.reduce((sum, [unpadded]) => sum + roundUp(unpadded, 4), 0);
  const startBytes = indexOffset - bodyBytes - xzStreamHeader.size;
  if (startBytes < 0 || !isXz(file.subarray(startBytes))) {
    throw broken("index", `of ${bodyBytes} bytes of blocks`, "of as many as its stream has");
  }
  let offsetBytes = startBytes + xzStreamHeader.size;
  const blocks = records.map(([unpaddedBytes, outputBytes]) => {
    const block = { offsetBytes, unpaddedBytes, outputBytes, flags: footer.flags };
    offsetBytes += roundUp(unpaddedBytes, 4);
    return block;
  });
  return { startBytes, blocks };
}

/** Pairs of unpadded and output size, section 4.3; undefined when the index does not fit. */
function readIndex(index: Uint8Array): [number, number][] | undefined {
  if (index[0] !== 0) return undefined;
  let offset = 1;
  const next = (): number => {
    const [value, length] = decodeNumber(index, offset);
    offset += length;
    return value;
  };
  const count = next();
  if (!(count <= index.length / 2)) return undefined;
  const records: [number, number][] = [];
  for (let i = 0; i < count; i++) {
    const [unpadded, output] = [next(), next()];
    if (!(unpadded > 0 && output >= 0)) return undefined;
    records.push([unpadded, output]);
  }
  return offset + paddingOf(offset, 4) === index.length ? records : undefined;
}

/** A multibyte integer, section 1.2, and its length; NaN when it is cut or beyond 2^53. */
function decodeNumber(from: Uint8Array, offset: number): [value: number, length: number] {
  let value = 0;
  for (let i = 0, scale = 1; i < 8; i++, scale *= 128) {
    const byte = from[offset + i];
    if (byte === undefined) break;
    value += (byte % 128) * scale;
    if (byte < 128) return [Number.isSafeInteger(value) ? value : Number.NaN, i + 1];
  }
  return [Number.NaN, 1];
}

function encodeNumber(value: number): number[] {
  return value < 128 ? [value] : [128 + (value % 128), ...encodeNumber(Math.floor(value / 128))];
}
