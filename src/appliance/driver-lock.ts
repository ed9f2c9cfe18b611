/**
 * BSD locks on exported disks: they tell udev and everything else that keeps to
 * systemd's block device locking to leave the disk alone. Node has no flock call; the flock
 * program locks a descriptor that it inherits, and the lock stays with ours when it has gone.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { runWithDescriptors } from "./driver-process.ts";

/** Longest wait for udev to let go of a disk that it is looking at. */
const waitSeconds = 5;

/** The locks that are held, by kernel name of the disk. */
export class DiskLocks {
  readonly #root: string;
  readonly #held = new Map<string, { sequence: number | null; file: FileHandle }>();
  readonly #refused = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  /**
   * Makes the held locks those of `disks` (kernel name → disk sequence). Never rejects: a disk
   * whose lock cannot be had is exported all the same. `told` hears of each attempt, and that all
   * is well when such a disk is not among `disks` any more.
   */
  async settle(
    disks: ReadonlyMap<string, number | null>,
    told: (name: string, locked: boolean) => void,
  ): Promise<void> {
    for (const [name, { sequence, file }] of this.#held) {
      if (!disks.has(name) || disks.get(name) !== sequence) {
        this.#held.delete(name);
        await file.close().catch(() => {});
      }
    }
    for (const name of this.#refused) {
      if (!disks.has(name)) {
        this.#refused.delete(name);
        told(name, true);
      }
    }
    for (const [name, sequence] of disks) {
      if (!this.#held.has(name)) {
        const file = await this.#lock(name);
        if (file === null) {
          this.#refused.add(name);
        } else {
          this.#refused.delete(name);
          this.#held.set(name, { sequence, file });
        }
        told(name, file !== null);
      }
    }
  }

  async #lock(name: string): Promise<FileHandle | null> {
    const path = join(this.#root, "dev", name);
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => null);
    if (file === null) {
      return null;
    }
    const status = await runWithDescriptors(
      "flock",
      ["-x", "-w", String(waitSeconds), "3"],
      ["ignore", "ignore", "ignore", file.fd],
    );
    if (status !== 0) {
      await file.close();
      return null;
    }
    return file;
  }
}
