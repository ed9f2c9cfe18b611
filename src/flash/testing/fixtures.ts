/** Targets, images and options that the tests of this part share. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BlockDevice, MemoryDisk } from "../../block/index.ts";
import { encodeGpt, partitionTypes, planGpt, writeExtents } from "../../disk/index.ts";
import { openImage } from "../driver-image.ts";
import { type FlashReport, type FlashRequest, flashImage } from "../flash.ts";
import type { Image } from "../image.ts";
import { openHasher } from "../integrity/driver-hasher.ts";
import type { DiskIdentity, Target } from "../target.ts";

export const MiB = 1024 * 1024;

/** A folder that goes away with the test. */
export async function scratchFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "diskomator-flash-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A target over any disk, by default with a serial number of its own. */
export function targetOf(disk: BlockDevice, overrides: Partial<Target> = {}): Target {
  const { sizeBytes, blockSizeBytes } = disk;
  const identity: DiskIdentity = {
    serial: "S6Z1NJ0W1",
    model: "Testing 990",
    sizeBytes,
    blockSizeBytes,
  };
  return {
    name: "box:disk",
    disk,
    identity,
    isRemote: false,
    identify: () => Promise.resolve(overrides.identity ?? identity),
    ...overrides,
  };
}

/** Bytes that differ from piece to piece, the same for the same seed; never a run of zeros. */
export function noise(lengthBytes: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  const words = new Uint32Array(bytes.buffer, 0, Math.floor(lengthBytes / 4));
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = state;
  }
  bytes.fill(0xa5, words.length * 4);
  return bytes;
}

/** An image with a GPT of one partition that it fills. */
export async function gptImage(
  sizeBytes: number,
  sectorSizeBytes: 512 | 4096 = 512,
): Promise<Uint8Array> {
  const gpt = planGpt({
    sizeBytes,
    sectorSizeBytes,
    diskGuid: "12345678-1234-4234-8234-123456789abc",
    partitions: [
      {
        typeGuid: partitionTypes.linuxData,
        guid: "22345678-1234-4234-8234-123456789abc",
        name: "root",
        sizeBytes: "rest",
      },
    ],
  });
  const { mbr, primary, backup } = encodeGpt(gpt);
  const disk = new MemoryDisk({ sizeBytes, blockSizeBytes: sectorSizeBytes });
  await writeExtents(disk, [mbr, ...primary, ...backup]);
  await disk.write(2 * MiB, noise(3 * MiB));
  return await contentsOf(disk);
}

/** Everything that a disk holds. */
export async function contentsOf(disk: BlockDevice): Promise<Uint8Array> {
  const contents = new Uint8Array(disk.sizeBytes);
  await disk.read(0, contents);
  return contents;
}

/** Opens image bytes as a file of that name. */
export async function openBytes(
  folder: string,
  name: string,
  bytes: Uint8Array,
): Promise<AsyncDisposable & { image: Image; path: string }> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  const hasher = openHasher();
  const image = await openImage(path, { hasher, clock: () => performance.now() });
  return {
    image,
    path,
    async [Symbol.asyncDispose]() {
      await image[Symbol.asyncDispose]();
      await hasher[Symbol.asyncDispose]();
    },
  };
}

/** Flashes image bytes to targets, with what a test changes. */
export async function flashBytes(
  bytes: Uint8Array,
  targets: readonly Target[],
  changes: Partial<FlashRequest> & { readonly name?: string } = {},
): Promise<FlashReport> {
  await using folder = await scratchFolder();
  await using opened = await openBytes(folder.path, changes.name ?? "image.raw", bytes);
  await using hasher = openHasher();
  return await flashImage({
    image: opened.image,
    targets: targets.map((target) => ({ target, isComparing: false })),
    isVerified: true,
    isGrown: false,
    hasher,
    clock: () => performance.now(),
    ...changes,
  });
}

/** A memory disk with other people's data on it. */
export function usedDisk(sizeBytes: number, blockSizeBytes = 512): MemoryDisk {
  return new MemoryDisk({ sizeBytes, blockSizeBytes, contents: noise(sizeBytes, 99) });
}
