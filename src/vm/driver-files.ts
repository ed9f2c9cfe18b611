/** Files that live as long as a test: scratch disks, and the sockets of a cable. */

import { constants } from "node:fs";
import { copyFile, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NicNetwork } from "./options.ts";

/** A folder that goes when it is disposed. */
export interface ScratchFolder extends AsyncDisposable {
  readonly path: string;
}

/** A raw disk image that goes when it is disposed. */
export interface ScratchDisk extends AsyncDisposable {
  readonly path: string;
}

/** A cable between two machines: give one end to each, in any order. */
export interface Link extends AsyncDisposable {
  readonly ends: readonly [NicNetwork, NicNetwork];
}

/** Makes a folder. Its path is short, since a socket's path may have 107 bytes only. */
export async function makeScratchFolder(): Promise<ScratchFolder> {
  const path = await mkdtemp(join(tmpdir(), "diskomator-vm-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/**
 * Makes a sparse disk of zeros.
 * @param options.from an image whose bytes the disk starts with; it is copied, not changed.
 */
export async function makeScratchDisk(
  sizeBytes: number,
  options: { readonly from?: string } = {},
): Promise<ScratchDisk> {
  const folder = await makeScratchFolder();
  const path = join(folder.path, "disk.raw");
  if (options.from === undefined) await writeFile(path, "");
  else await copyFile(options.from, path, constants.COPYFILE_FICLONE);
  await truncate(path, sizeBytes);
  return { path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** Makes a cable. What is sent while the other end is not there is lost, as with a real one. */
export async function makeLink(): Promise<Link> {
  const folder = await makeScratchFolder();
  const [a, b] = [join(folder.path, "a"), join(folder.path, "b")];
  return {
    ends: [
      { kind: "link", localPath: a, remotePath: b },
      { kind: "link", localPath: b, remotePath: a },
    ],
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
