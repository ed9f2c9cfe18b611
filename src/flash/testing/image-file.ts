/** An image in a file, and disks that their box hashes, for tests. */

import assert from "node:assert/strict";
import { utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MemoryDisk } from "../../block/index.ts";
import { openImage } from "../driver-image.ts";
import { type FlashReport, flashImage, type TargetResult } from "../flash.ts";
import { openHasher } from "../integrity/driver-hasher.ts";
import type { Hasher } from "../integrity/hasher.ts";
import type { ModeEvent } from "../progress.ts";
import type { Target } from "../target.ts";
import { contentsOf, MiB, noise, scratchFolder, targetOf } from "./fixtures.ts";
import { hashingOf } from "./hashing.ts";

/** Threads take longer to start than most of these tests; they do not keep a process alive. */
export const hasher: Hasher = openHasher();

/** An image in a file, as the tests change and flash it. */
export class ImageFile implements AsyncDisposable {
  readonly modes: ModeEvent[] = [];
  readonly #folder: AsyncDisposable & { path: string };
  readonly path: string;
  readonly cache: string;
  storedBytes = 0;

  static async of(bytes: Uint8Array, name = "os.raw"): Promise<ImageFile> {
    const file = new ImageFile(await scratchFolder(), name);
    await writeFile(file.path, bytes);
    // It was built a while ago.
    const then = new Date(Date.now() - 60_000);
    await utimes(file.path, then, then);
    return file;
  }

  private constructor(folder: AsyncDisposable & { path: string }, name: string) {
    this.#folder = folder;
    this.path = join(folder.path, name);
    this.cache = join(folder.path, "cache");
  }

  async flash(targets: readonly Target[], changes: Partial<Changes> = {}): Promise<FlashReport> {
    const { clock = () => performance.now(), isVerified = true, signal } = changes;
    const open = { hasher, clock, digestCache: this.cache };
    await using image = await openImage(this.path, open);
    try {
      return await flashImage({
        image,
        targets: targets.map((target) => ({ target, isComparing: false })),
        reopen: () => openImage(this.path, open),
        isGrown: false,
        isVerified,
        hasher,
        clock,
        onMode: (event) => this.modes.push(event),
        ...(signal ? { signal } : {}),
      });
    } finally {
      this.storedBytes = image.storedBytes;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}

interface Changes {
  readonly clock: () => number;
  readonly isVerified: boolean;
  readonly signal: AbortSignal;
}

/** An image that firmware would boot by its first sector, with a hole. */
export function bootableImage(sizeBytes: number, seed = 1): Uint8Array {
  const image = noise(sizeBytes, seed);
  image.set([0x55, 0xaa], 510);
  image.fill(0, 4 * MiB, Math.min(6 * MiB, sizeBytes));
  return image;
}

/** A target whose box hashes it. */
export function hashed(disk: MemoryDisk, overrides: Partial<Target> = {}): Target {
  return targetOf(disk, { hashing: hashingOf(disk), ...overrides });
}

/** A disk that begins with these bytes. */
export function diskOf(contents: Uint8Array, sizeBytes: number, blockSizeBytes = 512): MemoryDisk {
  return new MemoryDisk({ sizeBytes, blockSizeBytes, contents });
}

/** The disk begins with the image. */
export async function assertHolds(disk: MemoryDisk, image: Uint8Array, what = ""): Promise<void> {
  const found = await contentsOf(disk);
  assert.equal(Buffer.compare(found.subarray(0, image.length), image), 0, what);
}

/** Of one target. */
export function onlyResult({ results }: FlashReport): TargetResult {
  const [result, ...others] = results;
  assert.ok(result && others.length === 0);
  return result;
}
