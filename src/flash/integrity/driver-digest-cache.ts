/**
 * Digests of images that were hashed before, kept in the user's cache. They are believed only for the
 * very same state of the very same file (device, inode, size, times of the last change to contents
 * and to the inode), and only when some units, chosen anew each time, still have them.
 */

import { hash, randomInt } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CallOptions, digestBytes, digestsLength, digestUnits } from "../../block/index.ts";
import type { FileSource } from "../source/driver-file.ts";
import { unitBytes } from "./hasher.ts";

const suffix = ".digests";
/** Units that are hashed again before the rest is believed. */
const samples = 64;
/** What was written shortly before it was hashed may be written again without another time. */
const settledMs = 1000;
/** The oldest go when there are more. */
const filesMax = 16;

/** A folder of digests. */
export class DigestCache {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The digests of a file as it is now; undefined where they are not known for certain. */
  async load(file: FileSource, options: CallOptions = {}): Promise<Uint8Array | undefined> {
    const path = this.#pathOf(file);
    const stored = await readFile(path).catch(() => undefined);
    if (!stored) return undefined;
    const digests = decode(stored, keyOf(file));
    if (digests && (await holds(file, digests, options))) {
      // The oldest is the one that nobody wanted for longest.
      await utimes(path, new Date(), new Date()).catch(() => undefined);
      return digests;
    }
    await rm(path, { force: true }).catch(() => undefined);
    return undefined;
  }

  /** Keeps digests; that it cannot is nobody's harm. */
  async save(file: FileSource, digests: Uint8Array): Promise<void> {
    const modifiedMs = Number(BigInt(file.version.modifiedNs) / 1_000_000n);
    if (Math.abs(Date.now() - modifiedMs) < settledMs) return;
    const path = this.#pathOf(file);
    const partial = `${path}.${process.pid}.part`;
    try {
      await mkdir(this.#folder, { recursive: true });
      await writeFile(partial, encode(keyOf(file), digests));
      await rename(partial, path);
      await this.#prune();
    } catch {
      await rm(partial, { force: true }).catch(() => undefined);
    }
  }

  #pathOf(file: FileSource): string {
    return join(this.#folder, `${hash("sha256", keyOf(file)).slice(0, 32)}${suffix}`);
  }

  async #prune(): Promise<void> {
    const names = (await readdir(this.#folder)).filter((name) => name.endsWith(suffix));
    if (names.length <= filesMax) return;
    const aged = await Promise.all(
      names.map(async (name) => ({ name, usedMs: (await stat(join(this.#folder, name))).mtimeMs })),
    );
    aged.sort((a, b) => b.usedMs - a.usedMs);
    for (const { name } of aged.slice(filesMax))
      await rm(join(this.#folder, name), { force: true });
  }
}

/** One line: everything that must be the same. */
function keyOf({ version }: FileSource): string {
  return `diskomator digests 1 ${unitBytes} ${JSON.stringify(version)}\n`;
}

/** The key, the digests, and a sum over both. */
function encode(key: string, digests: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(key), digests]);
  return Buffer.concat([body, hash("sha256", body, "buffer")]);
}

function decode(stored: Buffer, key: string): Uint8Array | undefined {
  const body = stored.subarray(0, -digestBytes);
  const sum = stored.subarray(-digestBytes);
  const head = Buffer.from(key);
  if (!body.subarray(0, head.length).equals(head)) return undefined;
  if (!hash("sha256", body, "buffer").equals(sum)) return undefined;
  return body.subarray(head.length);
}

/** Whether units that nobody could foresee have these digests. */
async function holds(
  file: FileSource,
  digests: Uint8Array,
  options: CallOptions,
): Promise<boolean> {
  const { sizeBytes } = file;
  if (digests.byteLength !== digestsLength(sizeBytes, unitBytes)) return false;
  const units = digests.byteLength / digestBytes;
  const unit = new Uint8Array(unitBytes);
  const found = new Uint8Array(digestBytes);
  for (let n = 0; n < Math.min(samples, units); n++) {
    // The ends are where an image changes most.
    const chosen = n === 0 ? 0 : n === 1 ? units - 1 : randomInt(units);
    const length = Math.min(unitBytes, sizeBytes - chosen * unitBytes);
    const data = unit.subarray(0, length);
    if ((await file.readAt(chosen * unitBytes, data, options)) !== length) return false;
    digestUnits(data, unitBytes, found, 0);
    const at = chosen * digestBytes;
    if (Buffer.compare(found, digests.subarray(at, at + digestBytes)) !== 0) return false;
  }
  return true;
}
