/**
 * The `ar` container of a .deb: a magic line, then members with a text header of 60 bytes each.
 * Source: deb(5) and ar(5), the common format without long names.
 */

import { ascii, layout, paddingOf } from "../../bytes/index.ts";
import { malformed } from "./malformed.ts";

/** One member; `data` is a view of the archive's own bytes. */
export interface ArMember {
  readonly name: string;
  readonly data: Uint8Array;
}

/** The line that starts an archive. */
export const arMagic = "!<arch>\n";

/** Header of a member; numbers are decimal text. A trailing slash of the name is GNU's habit. */
export const arHeader = layout("ar member header", 60, {
  name: ascii(16, " "),
  mtime: ascii(12, " "),
  uid: ascii(6, " "),
  gid: ascii(6, " "),
  mode: ascii(8, " "),
  size: ascii(10, " "),
  end: ascii(2, "\0"),
});

/**
 * The members in their order, without copying.
 * @param source names the file in messages.
 * @throws ImageError `package` when the magic, a header or a length does not fit.
 */
export function readAr(bytes: Uint8Array, source: string): ArMember[] {
  const magic = String.fromCharCode(...bytes.subarray(0, arMagic.length));
  if (magic !== arMagic) {
    const found = bytes.length === 0 ? "empty" : JSON.stringify(magic);
    throw malformed({ source, part: "its start", found, wanted: JSON.stringify(arMagic) });
  }
  const members: ArMember[] = [];
  let offset = arMagic.length;
  while (offset < bytes.length) {
    const part = `the ar member header at offset ${offset}`;
    if (offset + arHeader.size > bytes.length) {
      const found = `cut after ${bytes.length - offset} bytes`;
      throw malformed({ source, part, found, wanted: `${arHeader.size} bytes` });
    }
    const { name, size, end } = arHeader.decode(bytes, offset);
    if (end !== "`\n") {
      throw malformed({ source, part, found: "without its end mark", wanted: "an ar header" });
    }
    if (!/^\d+$/.test(size)) {
      const found = `of size ${JSON.stringify(size)}`;
      throw malformed({ source, part, found, wanted: "of a decimal size" });
    }
    const start = offset + arHeader.size;
    const length = Number(size);
    if (start + length > bytes.length) {
      throw malformed({
        source,
        part: `the ar member ${JSON.stringify(name)}`,
        found: `cut after ${bytes.length - start} bytes`,
        wanted: `${length} bytes`,
      });
    }
    members.push({
      name: name.replace(/\/$/, ""),
      data: bytes.subarray(start, start + length),
    });
    offset = start + length + paddingOf(length, 2);
  }
  return members;
}
