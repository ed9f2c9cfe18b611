/** The Node.js binary of the box, out of the npm registry's platform package. */

import { sortByPath } from "./canonical.ts";
import { capture } from "./capture.ts";
import { decompress } from "./decompress.ts";
import { malformed } from "./malformed.ts";
import { stripElf } from "./strip.ts";
import { readTar, type TarEntry } from "./tar.ts";
import type { UnpackedTree } from "./tree.ts";

/** What may come out of the package; it is 195 MB at 24.21. */
const packageBytesMax = 1024 ** 3;

/** Where the binary goes. */
const nodePath = "usr/bin/node";
/** Under which path its licence is captured; the image does not have it. */
export const nodeLicensePath = "usr/share/doc/node/LICENSE";

/**
 * The tree of the npm package in `tarball`: the stripped binary, and its licence as captured text.
 * @param source names the package in messages.
 * @throws ImageError `package` when the tarball is broken, or lacks the binary or the licence.
 */
export function treeOfNodePackage(
  tarball: Uint8Array,
  source: string,
  epochSeconds: number,
): UnpackedTree {
  const wanted = new Map<string, TarEntry>();
  for (const entry of readTar(decompress(tarball, source, packageBytesMax), source)) {
    if (entry.type === "file") wanted.set(entry.path, entry);
    if (wanted.has("package/bin/node") && wanted.has("package/LICENSE")) break;
  }
  const binary = fileOf(wanted, "package/bin/node", source);
  const license = fileOf(wanted, "package/LICENSE", source);
  const base = { uid: 0, gid: 0, mode: 0o755 };
  const mtimeSeconds = Math.min(binary.mtimeSeconds, epochSeconds);
  const content = capture(nodeLicensePath, license, source);
  return {
    entries: sortByPath([
      { ...base, type: "directory", path: "usr", mtimeSeconds: epochSeconds },
      { ...base, type: "directory", path: "usr/bin", mtimeSeconds: epochSeconds },
      { ...base, type: "file", path: nodePath, mtimeSeconds, data: stripElf(binary.data, source) },
    ]),
    captured: content === undefined ? {} : { [nodeLicensePath]: content },
  };
}

function fileOf(files: ReadonlyMap<string, TarEntry>, path: string, source: string): TarEntry {
  const file = files.get(path);
  if (file !== undefined) return file;
  throw malformed({ source, part: `the file ${path}`, found: "missing", wanted: "there" });
}
