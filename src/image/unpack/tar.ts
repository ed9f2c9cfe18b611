/**
 * A reader of tar archives that are in memory: ustar, GNU long names and links, pax headers.
 * Contents are views of the archive's bytes, nothing is copied.
 * Sources: POSIX.1-2001 pax, "pax Interchange Format"; GNU tar manual, "Standard"; deb(5).
 */

import { roundUp } from "../../bytes/index.ts";
import { malformed } from "./malformed.ts";
import { decodeText, isZeroBlock, tarBlockSize, tarChecksum, tarHeader } from "./tar-header.ts";

/** What an entry is. */
export type TarType = "file" | "directory" | "symlink" | "hardlink" | "character" | "block";

/** One entry as the archive has it; paths are neither cleaned nor checked. */
export interface TarEntry {
  readonly type: TarType;
  readonly path: string;
  /** Permission bits with set-id and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Owner and group by name; empty when the archive has none. */
  readonly userName: string;
  readonly groupName: string;
  readonly mtimeSeconds: number;
  /** What a link names; empty for everything else. */
  readonly target: string;
  /** Device numbers; 0 for everything else. */
  readonly major: number;
  readonly minor: number;
  /** Contents of a file, as a view of the archive; empty for everything else. */
  readonly data: Uint8Array;
}

/** Longest name, link or set of pax records that is read. */
const tarMetaBytesMax = 1024 * 1024;

const types: Readonly<Record<string, TarType>> = {
  "\0": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "7": "file",
};
const noData = new Uint8Array(0);

/** What extension headers say about the entry that follows them. */
type Overrides = Map<string, string>;

interface RawHeader {
  readonly fields: ReturnType<typeof tarHeader.decode>;
  readonly part: string;
  readonly type: string;
}

/**
 * The entries of `archive` in their order.
 * @param source names the file in messages.
 * @throws ImageError `package` at the first header that does not fit, is cut, or has no end.
 */
export function* readTar(archive: Uint8Array, source: string): Generator<TarEntry, void> {
  const everywhere: Overrides = new Map();
  let next: Overrides = new Map();
  let offset = 0;
  for (;;) {
    if (offset + tarBlockSize > archive.length) {
      const found = `cut after ${archive.length} bytes`;
      throw malformed({ source, part: "the tar archive", found, wanted: "ended by a zero block" });
    }
    if (isZeroBlock(archive, offset)) return;
    const header = readHeader(archive, offset, source);
    const overrides = new Map([...everywhere, ...next]);
    const size = sizeOf(header, overrides, source);
    const start = offset + tarBlockSize;
    if (start + size > archive.length) {
      const found = `cut after ${archive.length - start} bytes`;
      throw malformed({ source, part: header.part, found, wanted: `followed by ${size} bytes` });
    }
    const data = archive.subarray(start, start + size);
    offset = start + roundUp(size, tarBlockSize);
    if (!readExtension(header, data, everywhere, next, source)) {
      yield makeEntry(header, data, overrides, source);
      next = new Map();
    }
  }
}

function readHeader(archive: Uint8Array, offset: number, source: string): RawHeader {
  const part = `the tar header at offset ${offset}`;
  let fields: RawHeader["fields"];
  try {
    fields = tarHeader.decode(archive, offset);
  } catch (cause) {
    const found = `unreadable (${cause instanceof Error ? cause.message : cause})`;
    throw malformed({ source, part, found, wanted: "octal numbers", cause });
  }
  const sum = tarChecksum(archive.subarray(offset, offset + tarBlockSize));
  if (fields.checksum !== sum) {
    const found = `of checksum ${fields.checksum}`;
    throw malformed({ source, part, found, wanted: `of checksum ${sum}` });
  }
  return { fields, part, type: String.fromCharCode(fields.type[0]!) };
}

/** Contents in bytes; links, devices and directories have none whatever their header says. */
function sizeOf({ fields, part, type }: RawHeader, pax: Overrides, source: string): number {
  if ("123456".includes(type)) return 0;
  if ("LKxg".includes(type)) {
    if (fields.size <= tarMetaBytesMax) return fields.size;
    const found = `followed by ${fields.size} bytes of names`;
    throw malformed({ source, part, found, wanted: `at most ${tarMetaBytesMax}` });
  }
  return paxNumber(pax, "size", source, part) ?? fields.size;
}

/** Takes in a header that only speaks of others; false when it is an entry of its own. */
function readExtension(
  { part, type }: RawHeader,
  data: Uint8Array,
  everywhere: Overrides,
  next: Overrides,
  source: string,
): boolean {
  if (type === "L") next.set("path", textOf(data, source, part));
  else if (type === "K") next.set("linkpath", textOf(data, source, part));
  else if (type === "x") readPaxRecords(data, next, source, part);
  else if (type === "g") readPaxRecords(data, everywhere, source, part);
  else return false;
  return true;
}

/** Records of the form `LENGTH KEY=VALUE\n`, LENGTH counting all of it, in decimal. */
function readPaxRecords(data: Uint8Array, into: Overrides, source: string, part: string): void {
  let offset = 0;
  while (offset < data.length) {
    const space = data.indexOf(0x20, offset);
    const digits = space < 0 ? "" : String.fromCharCode(...data.subarray(offset, space).slice(-9));
    const end = offset + Number(digits);
    const equals = data.indexOf(0x3d, space);
    const fits = /^\d+$/.test(digits) && end <= data.length && data[end - 1] === 0x0a;
    if (!fits || equals < 0 || equals >= end || end <= space) {
      const found = `followed by a broken pax record at byte ${offset}`;
      throw malformed({ source, part, found, wanted: "records of `LENGTH KEY=VALUE`" });
    }
    const key = textOf(data.subarray(space + 1, equals), source, part);
    into.set(key, textOf(data.subarray(equals + 1, end - 1), source, part));
    offset = end;
  }
}

function makeEntry(
  { fields, part, type: code }: RawHeader,
  data: Uint8Array,
  pax: Overrides,
  source: string,
): TarEntry {
  const path = pax.get("path") ?? pathOf(fields, source, part);
  const found = types[code];
  if (found === undefined) {
    throw malformed({
      source,
      part: `${part} (${path})`,
      found: `of type ${JSON.stringify(code)}`,
      wanted: "a file, directory, link or device",
    });
  }
  // Before ustar there was no type for directories: a trailing slash told them.
  const type = found === "file" && path.endsWith("/") ? "directory" : found;
  const isLink = type === "symlink" || type === "hardlink";
  const isDevice = type === "character" || type === "block";
  return {
    type,
    path,
    mode: fields.mode % 0o10000,
    uid: paxNumber(pax, "uid", source, part) ?? fields.uid,
    gid: paxNumber(pax, "gid", source, part) ?? fields.gid,
    userName: pax.get("uname") ?? fields.userName,
    groupName: pax.get("gname") ?? fields.groupName,
    mtimeSeconds: paxNumber(pax, "mtime", source, part) ?? fields.mtime,
    target: isLink ? (pax.get("linkpath") ?? textOf(fields.linkName, source, part)) : "",
    major: isDevice ? fields.major : 0,
    minor: isDevice ? fields.minor : 0,
    data: type === "file" ? data : noData,
  };
}

/** POSIX puts the start of a long path in `prefix`; GNU (magic `ustar `) has other things there. */
function pathOf(fields: RawHeader["fields"], source: string, part: string): string {
  const name = textOf(fields.name, source, part);
  if (fields.magic !== "ustar" || fields.prefix[0] === 0) return name;
  return `${textOf(fields.prefix, source, part)}/${name}`;
}

/** A pax number; fractions of a second are dropped, and times before 1970 count as 1970. */
function paxNumber(
  pax: Overrides,
  key: "size" | "mtime" | "uid" | "gid",
  source: string,
  part: string,
): number | undefined {
  const value = pax.get(key);
  if (value === undefined) return undefined;
  const form = key === "mtime" ? /^-?\d{1,15}(\.\d*)?$/ : /^\d{1,15}$/;
  if (!form.test(value)) {
    const found = `preceded by a pax ${key} of ${JSON.stringify(value)}`;
    throw malformed({ source, part, found, wanted: "a number" });
  }
  return Math.max(0, Math.floor(Number(value)));
}

/** Text up to the first NUL or the end. */
function textOf(raw: Uint8Array, source: string, part: string): string {
  const end = raw.indexOf(0);
  try {
    return decodeText(end < 0 ? raw : raw.subarray(0, end));
  } catch (cause) {
    throw malformed({ source, part, found: "with other names", wanted: "in UTF-8", cause });
  }
}
