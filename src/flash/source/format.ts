/** What a file is, by its first bytes: never by its name. */

/** How an image is packed; `raw` is whatever nothing else claims. */
export type PackedFormat = "raw" | "gzip" | "xz" | "zstd" | "bzip2" | "zip";

/** Kinds of file that hold a disk but cannot be written as they are. */
export type ForeignFormat =
  | "qcow2"
  | "VMDK"
  | "VHDX"
  | "VHD"
  | "VDI"
  | "7-Zip"
  | "RAR"
  | "LZ4"
  | "LZMA"
  | "Apple disk image"
  | "Android sparse image"
  | "tar"
  | "HTML";

/** What the first bytes say. */
export type Format =
  | { readonly kind: "packed"; readonly format: PackedFormat }
  | { readonly kind: "foreign"; readonly format: ForeignFormat; readonly wayOut: string };

/** So many bytes are enough to tell. */
export const formatHeadBytes = 4096;

const toRaw = (from: string) =>
  `Convert it first: qemu-img convert -f ${from} -O raw IMAGE IMAGE.raw`;
const unpack = (command: string) => `Unpack it first: ${command}`;

const packed: readonly (readonly [PackedFormat, string])[] = [
  ["gzip", "1f8b08"],
  ["xz", "fd377a585a00"],
  ["zstd", "28b52ffd"],
  ["zip", "504b0304"],
  ["zip", "504b0506"],
];

const foreign: readonly (readonly [ForeignFormat, magic: string, wayOut: string])[] = [
  ["qcow2", "514649fb", toRaw("qcow2")],
  ["VMDK", "4b444d56", toRaw("vmdk")],
  ["VMDK", Buffer.from("# Disk DescriptorFile").toString("hex"), toRaw("vmdk")],
  ["VHDX", Buffer.from("vhdxfile").toString("hex"), toRaw("vhdx")],
  ["VHD", Buffer.from("conectix").toString("hex"), toRaw("vpc")],
  ["7-Zip", "377abcaf271c", unpack("7z x IMAGE")],
  ["RAR", "526172211a07", unpack("unrar x IMAGE")],
  ["LZ4", "04224d18", unpack("lz4 -d IMAGE")],
  ["LZMA", "5d00008000", unpack("xz --format=lzma -d IMAGE")],
  ["Android sparse image", "3aff26ed", "Convert it first: simg2img IMAGE IMAGE.raw"],
];

/** Tells a file by its first bytes, up to `formatHeadBytes` of them. */
export function detectFormat(head: Uint8Array): Format {
  const hex = Buffer.from(head.buffer, head.byteOffset, Math.min(64, head.byteLength)).toString(
    "hex",
  );
  for (const [format, magic] of packed) {
    if (hex.startsWith(magic)) return { kind: "packed", format };
  }
  // `BZh`, a level, and the magic of a block or of the end.
  if (/^425a683[1-9](314159265359|177245385090)/.test(hex)) {
    return { kind: "packed", format: "bzip2" };
  }
  // A skippable frame may come before the first one of zstd: pzstd writes it so.
  if (/^5[0-9a-f]2a4d18/.test(hex)) return { kind: "packed", format: "zstd" };
  for (const [format, magic, wayOut] of foreign) {
    if (hex.startsWith(magic)) return { kind: "foreign", format, wayOut };
  }
  if (isVdi(head)) {
    return { kind: "foreign", format: "VDI", wayOut: toRaw("vdi") };
  }
  if (isTar(head)) return { kind: "foreign", format: "tar", wayOut: unpack("tar xf IMAGE") };
  if (isHtml(head)) {
    const wayOut = "A server gave a page in its place: look at the address.";
    return { kind: "foreign", format: "HTML", wayOut };
  }
  return { kind: "packed", format: "raw" };
}

/** POSIX and GNU tar; where a disk has the mark of an MBR, a header of tar has zeros. */
function isTar(head: Uint8Array): boolean {
  const text = Buffer.from(head.subarray(257, 262)).toString("latin1");
  return text === "ustar" && head[510] === 0 && head[511] === 0;
}

/** What servers give for an image that is not there, or not without logging in. */
function isHtml(head: Uint8Array): boolean {
  const text = Buffer.from(head.subarray(0, 64)).toString("utf8");
  return /^\uFEFF?\s*<(!doctype html|html)[\s>]/i.test(text);
}

/** VirtualBox writes a text and, at byte 64, its signature. */
function isVdi(head: Uint8Array): boolean {
  return Buffer.from(head.subarray(64, 68)).toString("hex") === "7f10dabe";
}

/** A VHD of fixed size and an Apple disk image are told by their last 512 bytes. */
export function detectFormatByTail(tail: Uint8Array): Format | undefined {
  const text = Buffer.from(tail.subarray(0, 8)).toString("latin1");
  if (text === "conectix") return { kind: "foreign", format: "VHD", wayOut: toRaw("vpc") };
  if (text.startsWith("koly")) {
    return { kind: "foreign", format: "Apple disk image", wayOut: toRaw("dmg") };
  }
  return undefined;
}

/**
 * How long the first frame of zstd data becomes, where its header says so (RFC 8878 section
 * 3.1.1.1); more frames may follow.
 */
export function zstdContentBytes(head: Uint8Array): number | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const isFrame = head.byteLength >= 18 && view.getUint32(0, true) === 0xfd2fb528;
  if (!isFrame) return undefined;
  const descriptor = view.getUint8(4);
  const sizeFlag = Math.floor(descriptor / 64);
  const isSingle = Math.floor(descriptor / 32) % 2 === 1;
  const at = 5 + (isSingle ? 0 : 1) + ([0, 1, 2, 4][descriptor % 4] ?? 0);
  if (sizeFlag === 0) return isSingle ? view.getUint8(at) : undefined;
  if (sizeFlag === 1) return view.getUint16(at, true) + 256;
  if (sizeFlag === 2) return view.getUint32(at, true);
  const long = view.getBigUint64(at, true);
  return long <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(long) : undefined;
}
