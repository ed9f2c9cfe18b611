/** A disk in a file, or a disk of this machine through its device node. */

import { constants, readSync, writeSync } from "node:fs";
import { type FileHandle, open, readFile, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { type BlockDevice, BlockError, type BlockErrorCode, type CallOptions } from "./device.ts";
import { HolePuncher } from "./driver-punch.ts";
import { type BlockCall, CallGate } from "./gate.ts";

/** One call of the operating system moves at most this much, so that aborting takes effect. */
const stepBytes = 8 * 1024 * 1024;

/** How a file becomes a disk. */
export interface FileDiskOptions {
  /** Refuse writes; the file is then opened for reading only. False unless told. */
  readonly readOnly?: boolean;
  /** 512 for files unless told; a device node has its own, and a different one here is refused. */
  readonly blockSizeBytes?: number;
  /** Make the file, which must not exist, with this many bytes of zeros that take no space. */
  readonly createBytes?: number;
  /**
   * Open a device node for writing only if nobody holds it: neither a file system, swap, a pool or an
   * array of this machine, nor a program. As long as it is open, none of them can take it. Files are
   * opened as ever.
   */
  readonly isExclusive?: boolean;
}

/** A BlockDevice over one open file or device node. */
export class FileDisk implements BlockDevice {
  readonly path: string;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  #sizeBytes: number;
  readonly #file: FileHandle;
  readonly #gate: CallGate;
  readonly #sparse: boolean;
  readonly #puncher: HolePuncher;

  private constructor(path: string, file: FileHandle, shape: FileShape) {
    this.path = path;
    this.#sizeBytes = shape.sizeBytes;
    this.blockSizeBytes = shape.blockSizeBytes;
    this.readOnly = shape.readOnly;
    this.#file = file;
    this.#puncher = new HolePuncher(file.fd);
    this.#sparse = shape.sparse;
    this.#gate = new CallGate(path, this);
  }

  /**
   * Opens or makes the disk.
   * @throws BlockError `range` when the size is not in whole blocks, `gone` when nothing is there,
   *   `read-only` when writing is not allowed, `no-space`, or `medium`, each with its cause: EBUSY
   *   for a device that somebody holds.
   */
  static async open(path: string, options: FileDiskOptions = {}): Promise<FileDisk> {
    const { readOnly = false, createBytes } = options;
    const mode = createBytes === undefined ? await modeOf(path, options) : "wx+";
    const denied = readOnly ? "medium" : "read-only";
    const doing = readOnly ? `open ${path}` : `open ${path} for writing`;
    const file = await worldly(doing, () => open(path, mode), denied);
    try {
      if (createBytes !== undefined) {
        await worldly(`give ${path} ${createBytes} bytes`, () => file.truncate(createBytes));
      }
      return new FileDisk(path, file, await shapeOf(path, file, options));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /**
   * Asks for the size again, in whole blocks; true when it has changed.
   * @throws BlockError as `open` does.
   */
  async refreshSize(): Promise<boolean> {
    const found = await sizeOf(this.path, this.#file);
    const sizeBytes = found.sizeBytes - (found.sizeBytes % this.blockSizeBytes);
    const isChanged = sizeBytes !== this.#sizeBytes;
    this.#sizeBytes = sizeBytes;
    return isChanged;
  }

  read(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<void> {
    const call = { kind: "read", offsetBytes, lengthBytes: target.byteLength } as const;
    return this.#run(call, options, async () => {
      for (let done = 0; done < target.byteLength; ) {
        options?.signal?.throwIfAborted();
        const length = Math.min(stepBytes, target.byteLength - done);
        const { bytesRead } = await this.#file.read(target, done, length, offsetBytes + done);
        if (bytesRead === 0) throw this.#endsAt(offsetBytes + done);
        done += bytesRead;
      }
    });
  }

  write(offsetBytes: number, data: Uint8Array, options?: CallOptions): Promise<void> {
    const call = { kind: "write", offsetBytes, lengthBytes: data.byteLength } as const;
    return this.#run(call, options, () => this.#put(offsetBytes, data, options));
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void> {
    const call = { kind: "zero", offsetBytes, lengthBytes } as const;
    return this.#run(call, options, async () => {
      if (lengthBytes >= punchToZeroBytesMin && (await this.#punch(offsetBytes, lengthBytes)))
        return;
      const found = Buffer.allocUnsafe(this.#sparse ? Math.min(zeroBytes, lengthBytes) : 0);
      for (let done = 0; done < lengthBytes; done += zeros.byteLength) {
        options?.signal?.throwIfAborted();
        const wanted = zeros.subarray(0, lengthBytes - done);
        if (this.#sparse && (await this.#holds(offsetBytes + done, wanted, found))) continue;
        await this.#put(offsetBytes + done, wanted, options);
      }
    });
  }

  flush(options?: CallOptions): Promise<void> {
    return this.#run({ kind: "flush" }, options, () => this.#file.datasync());
  }

  readNow(offsetBytes: number, target: Uint8Array, at: number, lengthBytes: number): void {
    this.#gate.now("read", offsetBytes, lengthBytes);
    for (let done = 0; done < lengthBytes; ) {
      const left = lengthBytes - done;
      let moved = 0;
      try {
        moved = readSync(this.#file.fd, target, at + done, left, offsetBytes + done);
      } catch (error) {
        throw worldlyError(error, `read ${this.path}`, "read-only");
      }
      if (moved === 0) throw this.#endsAt(offsetBytes + done);
      done += moved;
    }
  }

  writeNow(offsetBytes: number, data: Uint8Array, at: number, lengthBytes: number): void {
    this.#gate.now("write", offsetBytes, lengthBytes);
    for (let done = 0; done < lengthBytes; ) {
      const left = lengthBytes - done;
      try {
        done += writeSync(this.#file.fd, data, at + done, left, offsetBytes + done);
      } catch (error) {
        throw worldlyError(error, `write ${this.path}`, "read-only");
      }
    }
  }

  /** Punches holes into a file on Linux; does nothing where that cannot be done. */
  deallocate(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void> {
    const call = { kind: "zero", offsetBytes, lengthBytes } as const;
    return this.#gate.run(call, options, async () => {
      if (lengthBytes >= punchBytesMin) await this.#punch(offsetBytes, lengthBytes);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#gate.close(() => this.#file.close());
  }

  #run(call: BlockCall, options: CallOptions | undefined, body: () => Promise<void>) {
    return this.#gate.run(call, options, () => worldly(`${call.kind} ${this.path}`, body));
  }

  #endsAt(offsetBytes: number): BlockError {
    return new BlockError(
      "medium",
      `Cannot read ${this.path} at ${offsetBytes}: it ends there, but had ${this.sizeBytes} ` +
        `bytes when its size was last asked for.`,
    );
  }

  async #put(offsetBytes: number, data: Uint8Array, options?: CallOptions): Promise<void> {
    for (let done = 0; done < data.byteLength; ) {
      options?.signal?.throwIfAborted();
      const length = Math.min(stepBytes, data.byteLength - done);
      done += (await this.#file.write(data, done, length, offsetBytes + done)).bytesWritten;
    }
  }

  /** True when the range is a hole now. */
  async #punch(offsetBytes: number, lengthBytes: number): Promise<boolean> {
    return this.#sparse && (await this.#puncher.punch(offsetBytes, lengthBytes));
  }

  /** Whether the file has these bytes already: zeros are not written into its holes. */
  async #holds(offsetBytes: number, wanted: Buffer, found: Buffer): Promise<boolean> {
    const { bytesRead } = await this.#file.read(found, 0, wanted.byteLength, offsetBytes);
    return bytesRead === wanted.byteLength && found.subarray(0, bytesRead).equals(wanted);
  }
}

/** What is written at a time to make a range zero. */
const zeroBytes = 1024 * 1024;
const zeros = Buffer.alloc(zeroBytes);
/** Smaller holes are not worth a process each. */
const punchBytesMin = 64 * 1024;
/** From here on a process takes less time than looking which zeros are there already. */
const punchToZeroBytesMin = 8 * 1024 * 1024;

/** How an existing file or device node is opened. */
async function modeOf(path: string, { readOnly, isExclusive }: FileDiskOptions) {
  if (readOnly) return "r";
  const isNode = isExclusive && (await stat(path).catch(() => null))?.isBlockDevice();
  // Linux: open(2) with O_EXCL and without O_CREAT claims a block device.
  return isNode ? constants.O_RDWR + constants.O_EXCL : "r+";
}

interface FileShape {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  /** Whether the medium has holes that zeros should not fill. */
  readonly sparse: boolean;
}

/** Size of a file; size and block size of a device node. */
async function sizeOf(path: string, file: FileHandle) {
  const stat = await worldly(`look at ${path}`, () => file.stat(), "medium");
  if (stat.isBlockDevice()) {
    return await worldly(`find the size of ${path}`, () => nodeShape(stat.rdev), "medium");
  }
  if (stat.isFile()) return { sizeBytes: stat.size, blockSizeBytes: undefined };
  throw new BlockError("medium", `Cannot open ${path}: it is neither a file nor a block device.`);
}

async function shapeOf(
  path: string,
  file: FileHandle,
  { readOnly = false, blockSizeBytes }: FileDiskOptions,
): Promise<FileShape> {
  const size = await sizeOf(path, file);
  const found = {
    sizeBytes: size.sizeBytes,
    blockSizeBytes: size.blockSizeBytes ?? blockSizeBytes ?? 512,
    readOnly,
    sparse: size.blockSizeBytes === undefined,
  };
  if (blockSizeBytes !== undefined && blockSizeBytes !== found.blockSizeBytes) {
    throw new BlockError(
      "range",
      `Cannot open ${path}: its blocks have ${found.blockSizeBytes} bytes, not ${blockSizeBytes}.`,
    );
  }
  if (found.sizeBytes % found.blockSizeBytes !== 0) {
    throw new BlockError(
      "range",
      `Cannot open ${path} as a disk: its ${found.sizeBytes} bytes are not whole blocks of ` +
        `${found.blockSizeBytes}. Pad it with zeros.`,
    );
  }
  return found;
}

/**
 * `MAJOR:MINOR` of a device of Linux, as sysfs and procfs write it.
 * @param rdev as stat gives it: minor in bits 0–7 and 20–31, major in bits 8–19.
 */
export function deviceNumber(rdev: number): string {
  const major = Math.floor(rdev / 256) % 4096;
  const minor = (rdev % 256) + Math.floor(rdev / 2 ** 20) * 256;
  return `${major}:${minor}`;
}

/**
 * Where a file or device node of this machine is, the same by all of its names.
 * @throws Error of the file system when there is none.
 */
export async function filePlaceOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true });
  if (found.isBlockDevice()) return `device ${deviceNumber(Number(found.rdev))}`;
  return `file ${found.dev}:${found.ino}`;
}

/** Size and logical block size of a Linux block device by its number, from sysfs. */
async function nodeShape(rdev: number): Promise<{ sizeBytes: number; blockSizeBytes: number }> {
  const folder = await realpath(`/sys/dev/block/${deviceNumber(rdev)}`);
  const sectors = Number(await readFile(`${folder}/size`, "utf8"));
  const queue = await readFile(`${folder}/queue/logical_block_size`, "utf8").catch(() =>
    readFile(`${dirname(folder)}/queue/logical_block_size`, "utf8"),
  );
  return { sizeBytes: sectors * 512, blockSizeBytes: Number(queue) };
}

const codes: Readonly<Record<string, BlockErrorCode>> = {
  EDQUOT: "no-space",
  EFBIG: "no-space",
  ENODEV: "gone",
  ENOENT: "gone",
  ENOSPC: "no-space",
  ENXIO: "gone",
  EROFS: "read-only",
};

/** What is wrong with a path, in words. */
const plain: Readonly<Record<string, string>> = {
  EACCES: "this user has no right to",
  EISDIR: "it is a folder, not a file or a block device",
  ENOENT: "there is no such file",
};

/** Turns what the operating system says into a BlockError; `denied` is for missing rights. */
async function worldly<T>(
  doing: string,
  body: () => Promise<T>,
  denied: BlockErrorCode = "read-only",
): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw worldlyError(error, doing, denied);
  }
}

/** The BlockError for what the operating system says; any other error as it is. */
function worldlyError(error: unknown, doing: string, denied: BlockErrorCode): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  const found = (error as NodeJS.ErrnoException).code ?? "";
  const code = found === "EACCES" || found === "EPERM" ? denied : (codes[found] ?? "medium");
  return new BlockError(code, `Cannot ${doing}: ${plain[found] ?? error.message}.`, {
    cause: error,
  });
}
