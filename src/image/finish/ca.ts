/** update-ca-certificates: the bundle of all certificates that ca-certificates ships. */

import { file, type Piece } from "./piece.ts";

const folder = "usr/share/ca-certificates/";

/**
 * `/etc/ssl/certs/ca-certificates.crt`, in the byte order of the certificates' paths. The links by
 * subject hash are not made: what reads a folder instead of the bundle is not in an appliance.
 */
export function certificateFiles(contents: ReadonlyMap<string, string>): Piece[] {
  const paths = [...contents.keys()].filter(
    (path) => path.startsWith(folder) && path.endsWith(".crt"),
  );
  if (paths.length === 0) {
    return [];
  }
  const texts = paths.sort().map((path) => {
    const text = contents.get(path)!;
    return text.endsWith("\n") ? text : `${text}\n`;
  });
  const list = paths.map((path) => `${path.slice(folder.length)}\n`);
  return [
    file("etc/ssl/certs/ca-certificates.crt", texts.join("")),
    file("etc/ca-certificates.conf", list.join("")),
  ];
}
