/**
 * The `newc` cpio archive, the form in which the kernel takes its initial file system.
 * Sources: Linux Documentation/driver-api/early-userspace/buffer-format.rst; cpio(5) "New ASCII".
 */

import { bytes, type Field, layout, roundUp } from "../../bytes/index.ts";
import type { Entry } from "../entry.ts";
import { malformed } from "../unpack/index.ts";

/** Header of an entry; numbers are eight hexadecimal digits. */
export const cpioHeader = layout("newc header", 110, {
  magic: bytes(6),
  ino: hex8(),
  mode: hex8(),
  uid: hex8(),
  gid: hex8(),
  nlink: hex8(),
  mtime: hex8(),
  filesize: hex8(),
  devmajor: hex8(),
  devminor: hex8(),
  rdevmajor: hex8(),
  rdevminor: hex8(),
  namesize: hex8(),
  check: hex8(),
});
type Header = ReturnType<typeof cpioHeader.decode>;

/** What a file, name or number of the format can hold at most. */
export const cpioNumberMax = 0xffffffff;
/** Longest path with its NUL that the kernel takes (PATH_MAX). */
const cpioNameBytesMax = 4096;

const magic = Uint8Array.from(Buffer.from("070701", "latin1"));
const trailerName = "TRAILER!!!";
const alignment = 4;

/** Type bits of `mode`, see inode(7), in units of 0o10000, which the permissions stay below. */
const typeUnit = 0o10000;
const typeBits = {
  character: 0o02,
  directory: 0o04,
  block: 0o06,
  file: 0o10,
  symlink: 0o12,
} as const;

/** One record of the archive before it is written. */
interface Record {
  readonly header: Header;
  readonly name: Uint8Array;
  readonly data: Uint8Array;
}

/**
 * An archive of `entries`, in their order, ended by its trailer and 4-byte aligned. Inode numbers
 * count from 1; the names of a hard-linked file share one. No entries make an archive of nothing
 * but the trailer.
 * @throws ImageError `package` when a file reaches 4 GiB or a path is too long, RangeError when a
 * hard link names no file before it.
 */
export function writeCpio(entries: readonly Entry[]): Uint8Array<ArrayBuffer> {
  const records = [...recordsOf(entries), recordOf({}, trailerName)];
  const sizes = records.map(sizeOfRecord);
  const archive = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let offset = 0;
  for (const [i, { header, name, data }] of records.entries()) {
    cpioHeader.encodeInto(header, archive, offset);
    archive.set(name, offset + cpioHeader.size);
    archive.set(data, offset + roundUp(cpioHeader.size + name.length + 1, alignment));
    offset += sizes[i]!;
  }
  return archive;
}

function sizeOfRecord({ name, data }: Record): number {
  const headBytes = roundUp(cpioHeader.size + name.length + 1, alignment);
  return roundUp(headBytes + data.length, alignment);
}

function recordsOf(entries: readonly Entry[]): Record[] {
  const links = new Map<string, number>();
  for (const entry of entries) {
    if (entry.type === "hardlink") links.set(entry.target, (links.get(entry.target) ?? 1) + 1);
  }
  const inodes = new Map<string, Header>();
  let ino = 0;
  return entries.map((entry) => {
    const { path, uid, gid, mtimeSeconds: mtime } = entry;
    if (entry.type === "hardlink") {
      const first = inodes.get(entry.target);
      if (first === undefined) throw new RangeError(`${path} links to no file: ${entry.target}`);
      return recordOf({ ...first, filesize: 0 }, path);
    }
    ino += 1;
    const mode = typeBits[entry.type] * typeUnit + entry.mode;
    const nlink = entry.type === "directory" ? 2 : (links.get(path) ?? 1);
    const data = dataOf(entry);
    checkFileSize(path, data.length);
    const isDevice = entry.type === "character" || entry.type === "block";
    const device = isDevice ? { rdevmajor: entry.major, rdevminor: entry.minor } : {};
    const fields = { ino, mode, uid, gid, mtime, nlink, filesize: data.length, ...device };
    const record = recordOf(fields, path, data);
    inodes.set(path, record.header);
    return record;
  });
}

function recordOf(
  fields: Partial<Header>,
  path: string,
  data: Uint8Array = new Uint8Array(0),
): Record {
  const name = new TextEncoder().encode(path);
  if (name.length + 1 > cpioNameBytesMax) {
    const found = `${name.length} bytes long`;
    throw malformed({ source: path, part: "the path", found, wanted: "less than 4096" });
  }
  const header = { ...emptyHeader, nlink: 1, ...fields, magic, namesize: name.length + 1 };
  return { header, name, data };
}

function dataOf(entry: Entry): Uint8Array {
  if (entry.type === "file") return entry.data;
  return entry.type === "symlink" ? new TextEncoder().encode(entry.target) : new Uint8Array(0);
}

/** @throws ImageError `package` when a file is longer than the format can say. */
export function checkFileSize(path: string, sizeBytes: number): void {
  if (sizeBytes <= cpioNumberMax) return;
  const found = `${sizeBytes} bytes long`;
  throw malformed({ source: path, part: "the file", found, wanted: "shorter than 4 GiB" });
}

/** What `readCpio` found. */
export interface CpioContents {
  readonly entries: readonly Entry[];
  /** Where the archive ends, after the padding of its trailer. */
  readonly endBytes: number;
}

/**
 * The entries of the archive that starts at `offset`, up to its trailer; file data are views.
 * Of several names of one file, the one that has the data is the file.
 * @param source names the archive in messages.
 * @throws ImageError `package` when a header does not fit or the archive is cut.
 */
export function readCpio(archive: Uint8Array, source: string, offset = 0): CpioContents {
  const records: { path: string; header: Header; data: Uint8Array }[] = [];
  let at = offset;
  for (;;) {
    const header = readHeader(archive, at, source);
    const part = `the cpio entry at offset ${at}`;
    const nameStart = at + cpioHeader.size;
    const dataStart = offset + roundUp(nameStart + header.namesize - offset, alignment);
    const dataEnd = dataStart + header.filesize;
    const end = offset + roundUp(dataEnd - offset, alignment);
    if (header.namesize === 0 || end > archive.length) {
      const found = `of ${header.namesize} + ${header.filesize} bytes`;
      throw malformed({ source, part, found, wanted: "within the archive" });
    }
    const name = archive.subarray(nameStart, nameStart + header.namesize - 1);
    const path = new TextDecoder().decode(name);
    at = end;
    if (path === trailerName) break;
    records.push({ path, header, data: archive.subarray(dataStart, dataEnd) });
  }
  const owners = new Map<number, string>();
  for (const { path, header, data } of records) {
    if (header.nlink < 2 || typeOf(header) !== "file") continue;
    if (!owners.has(header.ino) || data.length > 0) owners.set(header.ino, path);
  }
  const entries = records.map(({ path, header, data }) =>
    entryOf(path, header, data, owners.get(header.ino), source),
  );
  return { entries, endBytes: at };
}

function readHeader(archive: Uint8Array, at: number, source: string): Header {
  const part = `the cpio header at offset ${at}`;
  const wanted = "a newc header, or the archive's trailer before it";
  if (at + cpioHeader.size > archive.length) {
    throw malformed({ source, part, found: "cut", wanted });
  }
  try {
    const header = cpioHeader.decode(archive, at);
    if (header.magic.every((byte, i) => byte === magic[i])) return header;
  } catch (cause) {
    throw malformed({ source, part, found: "without hexadecimal numbers", wanted, cause });
  }
  throw malformed({ source, part, found: "without the magic 070701", wanted });
}

function typeOf({ mode }: Header): keyof typeof typeBits | undefined {
  const bits = Math.floor(mode / typeUnit);
  const names = Object.keys(typeBits) as (keyof typeof typeBits)[];
  return names.find((name) => typeBits[name] === bits);
}

function entryOf(
  path: string,
  header: Header,
  data: Uint8Array,
  owner: string | undefined,
  source: string,
): Entry {
  const { uid, gid, mtime: mtimeSeconds } = header;
  const base = { path, mode: header.mode % typeUnit, uid, gid, mtimeSeconds };
  const type = typeOf(header);
  switch (type) {
    case "file":
      if (owner !== undefined && owner !== path)
        return { ...base, type: "hardlink", target: owner };
      return { ...base, type, data };
    case "symlink":
      return { ...base, type, target: new TextDecoder().decode(data) };
    case "directory":
      return { ...base, type };
    case "character":
    case "block":
      return { ...base, type, major: header.rdevmajor, minor: header.rdevminor };
    default: {
      const found = `of mode ${header.mode.toString(8)}`;
      throw malformed({ source, part: `the path ${path}`, found, wanted: "a file or device" });
    }
  }
}

/** A number as eight lower-case hexadecimal digits. */
function hex8(): Field<number> {
  return {
    size: 8,
    read: (view, offset) => {
      const raw = new Uint8Array(view.buffer, view.byteOffset + offset, 8);
      const digits = String.fromCharCode(...raw);
      if (!/^[0-9a-fA-F]{8}$/.test(digits)) throw new RangeError(`"${digits}" is no number.`);
      return Number.parseInt(digits, 16);
    },
    write: (view, offset, value) => {
      if (!Number.isInteger(value) || value < 0 || value > cpioNumberMax) {
        throw new RangeError(`This field takes a whole number of 32 bits, not ${value}.`);
      }
      const digits = value.toString(16).padStart(8, "0");
      for (let i = 0; i < 8; i++) view.setUint8(offset + i, digits.charCodeAt(i));
    },
  };
}

const emptyHeader: Header = {
  magic,
  ino: 0,
  mode: 0,
  uid: 0,
  gid: 0,
  nlink: 0,
  mtime: 0,
  filesize: 0,
  devmajor: 0,
  devminor: 0,
  rdevmajor: 0,
  rdevminor: 0,
  namesize: 0,
  check: 0,
};
