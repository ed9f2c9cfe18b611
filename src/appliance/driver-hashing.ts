/** A disk of this machine as what is hashed: read past the page cache, on all processors. */
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { Digester, FileDisk } from "../block/index.ts";
import { runTool } from "./driver-process.ts";
import type { HashedDisk } from "./hashing.ts";

const flushTimeoutMs = 30_000;

/**
 * Opens a device node; a file is as good.
 * @throws BlockError, ApplianceError when the cache cannot be emptied.
 */
export async function openHashed(path: string): Promise<HashedDisk> {
  await using disk = await openPastCache(path);
  const { sizeBytes, blockSizeBytes } = disk;
  const digester = new Digester(path, { isDirect: true, ...bundledProgram() });
  return {
    sizeBytes,
    blockSizeBytes,
    digest: (ranges, unitBytes, options) => digester.digest(ranges, unitBytes, options),
    [Symbol.asyncDispose]: () => digester[Symbol.asyncDispose](),
  };
}

/** The kernel's target writes past the page cache, so what that holds may be old. */
export async function openPastCache(path: string): Promise<FileDisk> {
  if ((await stat(path)).isBlockDevice()) {
    await runTool("blockdev", ["--flushbufs", path], flushTimeoutMs);
  }
  return FileDisk.open(path, { readOnly: true });
}

/** The image has the thread as a program of its own beside the daemon; the sources have it as it is. */
function bundledProgram(): { readonly program?: URL } {
  const program = new URL("./digest-thread.mjs", import.meta.url);
  return existsSync(program) ? { program } : {};
}
