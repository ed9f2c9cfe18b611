/** Boxes whose image did not arrive whole, or does not fit. */

import assert from "node:assert/strict";
import { copyFile, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { InitiatorError } from "../src/initiator/index.ts";
import { makeScratchDisk, makeScratchFolder, startVm, type Vm } from "../src/vm/index.ts";
import { build, Exports, stickOf } from "./driver-box.ts";

const diskBytes = 64 * 1024 * 1024;
/** Sections have their headers in the first blocks of a PE file. */
const headerBytes = 4096;

/** What the screen says of an image that was not unpacked whole, on every console. */
export const report = /This image was not unpacked completely\./;

/** An image, and the machines that boot copies of it. */
export class Incomplete implements AsyncDisposable {
  readonly #owned: AsyncDisposableStack;
  readonly #folder: string;
  /** Segment → how many bytes there are from its first one to the end. */
  readonly #fromStart: ReadonlyMap<string, number>;

  /** Builds the image. */
  static async build(): Promise<Incomplete> {
    const owned = new AsyncDisposableStack();
    const { path } = owned.use(await makeScratchFolder());
    const { manifest } = await build("diskomator", path);
    const fromStart = new Map<string, number>();
    let bytes = 0;
    for (const { name, sizeBytes } of manifest.segments.toReversed()) {
      bytes += sizeBytes;
      fromStart.set(name, bytes);
    }
    return new Incomplete(owned, path, fromStart);
  }

  private constructor(
    owned: AsyncDisposableStack,
    folder: string,
    fromStart: ReadonlyMap<string, number>,
  ) {
    this.#owned = owned;
    this.#folder = folder;
    this.#fromStart = fromStart;
  }

  /** Boots the image without the end of its initrd: from `bytes` after a segment's start. */
  async startCut(segment: string, bytes: number): Promise<Vm> {
    const path = join(this.#folder, "cut.raw");
    const fromStart = this.#fromStart.get(segment);
    assert.ok(fromStart !== undefined, segment);
    await cutInitrd(this.#folder, path, fromStart - bytes);
    return await this.#start(path, 640);
  }

  /** Boots the whole image on a machine with so much memory. */
  startWhole(memoryMiB: number): Promise<Vm> {
    return this.#start(join(this.#folder, "diskomator.raw"), memoryMiB);
  }

  async #start(path: string, memoryMiB: number): Promise<Vm> {
    const disk = this.#owned.use(await makeScratchDisk(diskBytes));
    const vm = await startVm({
      name: "box",
      memoryMiB,
      disks: [
        { ...stickOf(this.#folder, "diskomator"), path },
        { id: "nvme", kind: "nvme", path: disk.path, serial: "TEST-NVME" },
      ],
      nics: [{ network: { kind: "user" } }],
    });
    return this.#owned.use(vm);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned.disposeAsync();
  }
}

/** Nothing answers on the port, and the screen never spoke of an export. */
export async function assertClosed(box: Vm): Promise<void> {
  const exported = await Exports.of(box);
  await assert.rejects(exported.nqns(), InitiatorError);
  assert.doesNotMatch(box.serial, /exported: \d/);
}

/**
 * A copy of the stick whose EFI file has a shorter initrd: the last bytes are not part of the
 * section any more, as if they had never been written.
 */
async function cutInitrd(folder: string, path: string, droppedBytes: number): Promise<void> {
  await copyFile(join(folder, "diskomator.raw"), path);
  const efi = await readFile(join(folder, "diskomator.efi"));
  const stick = await readFile(path);
  const start = stick.indexOf(efi.subarray(0, headerBytes));
  assert.ok(start > 0, "the EFI file lies on the stick in one piece");
  // The section's name, then its length in memory (PE format, "Section Table").
  const at = efi.subarray(0, headerBytes).indexOf(".initrd\0") + 8;
  const length = Buffer.alloc(4);
  length.writeUInt32LE(efi.readUInt32LE(at) - droppedBytes);
  await using file = await open(path, "r+");
  await file.write(length, 0, length.length, start + at);
}
