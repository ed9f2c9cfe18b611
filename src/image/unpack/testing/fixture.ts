/** Archives for tests, made by the same declared headers that the readers use. */

import { paddingOf } from "../../../bytes/index.ts";
import { arHeader, arMagic } from "../ar.ts";
import { tarBlockSize, tarChecksum, tarHeader } from "../tar-header.ts";

/** Header fields of a tar entry that differ from those of an empty file owned by root. */
export type TarFields = Partial<
  Omit<ReturnType<typeof tarHeader.decode>, "type" | "name" | "linkName" | "prefix">
> & {
  readonly type?: string;
  readonly name?: string;
  readonly linkName?: string;
  readonly prefix?: string;
  readonly data?: Uint8Array | string;
};

/** `text` as UTF-8. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** `text` as UTF-8 in `length` bytes. */
export function padded(text: string, length: number): Uint8Array {
  const field = new Uint8Array(length);
  field.set(utf8(text));
  return field;
}

/** One after the other. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Header and contents of one entry, padded, with a right checksum. */
export function tarEntry(entry: TarFields): Uint8Array {
  const { type = "0", data = "", name = "", linkName = "", prefix = "", ...fields } = entry;
  const raw = typeof data === "string" ? utf8(data) : data;
  const header = tarHeader.encode({
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: raw.length,
    mtime: 1_700_000_000,
    checksum: 0,
    magic: "ustar",
    version: utf8("00"),
    userName: "root",
    groupName: "root",
    major: 0,
    minor: 0,
    ...fields,
    name: padded(name, 100),
    linkName: padded(linkName, 100),
    prefix: padded(prefix, 155),
    type: utf8(type),
  });
  const checksum = fields.checksum ?? tarChecksum(header);
  header.set(utf8(`${checksum.toString(8).padStart(6, "0")}\0 `), tarHeader.offsets.checksum);
  return joined(header, raw, new Uint8Array(paddingOf(raw.length, tarBlockSize)));
}

/** An archive with its two zero blocks. */
export function tarArchive(...entries: readonly TarFields[]): Uint8Array {
  return joined(...entries.map(tarEntry), new Uint8Array(2 * tarBlockSize));
}

/** An `ar` of members in order. */
export function arArchive(
  members: readonly (readonly [string, Uint8Array | string])[],
): Uint8Array {
  const parts = members.map(([name, data]) => {
    const raw = typeof data === "string" ? utf8(data) : data;
    const numbers = { mtime: "0", uid: "0", gid: "0", mode: "100644", size: `${raw.length}` };
    const header = arHeader.encode({ name, ...numbers, end: "`" });
    header.set(utf8("`\n"), 58);
    return joined(header, raw, utf8("\n").subarray(0, paddingOf(raw.length, 2)));
  });
  return joined(utf8(arMagic), ...parts);
}

/** A control file with the fields that every package has. */
export const controlText = "Package: box\nVersion: 1.0-1\nArchitecture: amd64\n";

/** A package whose data archive is uncompressed, unless the members say otherwise. */
export function debArchive(
  data: Uint8Array,
  control: readonly TarFields[] = [{ name: "./control", data: controlText }],
): Uint8Array {
  return arArchive([
    ["debian-binary", "2.0\n"],
    ["control.tar", tarArchive(...control)],
    ["data.tar", data],
  ]);
}
