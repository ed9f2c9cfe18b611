/** A disk in a file, or a disk of this machine through its device node. */

import { type FileHandle, open, readFile, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { type BlockDevice, BlockError, type BlockErrorCode, type CallOptions } from "./device.ts";
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
}

/** A BlockDevice over one open file or device node. */
export class FileDisk implements BlockDevice {
  readonly path: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  readonly #file: FileHandle;
  readonly #gate: CallGate;
  readonly #sparse: boolean;

  private constructor(path: string, file: FileHandle, shape: FileShape) {
    this.path = path;
    this.sizeBytes = shape.sizeBytes;
    this.blockSizeBytes = shape.blockSizeBytes;
    this.readOnly = shape.readOnly;
    this.#file = file;
    this.#sparse = shape.sparse;
    this.#gate = new CallGate(path, this);
  }

  /**
   * Opens or makes the disk.
   * @throws BlockError `range` when the size is not in whole blocks, `gone` when nothing is there,
   *   `read-only` when writing is not allowed, `no-space`, or `medium`, each with its cause.
   */
  static async open(path: string, options: FileDiskOptions = {}): Promise<FileDisk> {
    const { readOnly = false, createBytes } = options;
    const mode = createBytes === undefined ? (readOnly ? "r" : "r+") : "wx+";
    const denied = readOnly ? "medium" : "read-only";
    const file = await worldly(`open ${path}`, () => open(path, mode), denied);
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

  read(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<void> {
    const call = { kind: "read", offsetBytes, lengthBytes: target.byteLength } as const;
    return this.#run(call, options, async () => {
      for (let done = 0; done < target.byteLength; ) {
        options?.signal?.throwIfAborted();
        const length = Math.min(stepBytes, target.byteLength - done);
        const { bytesRead } = await this.#file.read(target, done, length, offsetBytes + done);
        if (bytesRead === 0) {
          throw new BlockError(
            "medium",
            `Cannot read ${this.path} at ${offsetBytes + done}: it ends there, but had ` +
              `${this.sizeBytes} bytes when it was opened.`,
          );
        }
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
      const zeros = Buffer.alloc(Math.min(zeroBytes, lengthBytes));
      const found = Buffer.alloc(this.#sparse ? zeros.byteLength : 0);
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

  [Symbol.asyncDispose](): Promise<void> {
    return this.#gate.close(() => this.#file.close());
  }

  #run(call: BlockCall, options: CallOptions | undefined, body: () => Promise<void>) {
    return this.#gate.run(call, options, () => worldly(`${call.kind} ${this.path}`, body));
  }

  async #put(offsetBytes: number, data: Uint8Array, options?: CallOptions): Promise<void> {
    for (let done = 0; done < data.byteLength; ) {
      options?.signal?.throwIfAborted();
      const length = Math.min(stepBytes, data.byteLength - done);
      done += (await this.#file.write(data, done, length, offsetBytes + done)).bytesWritten;
    }
  }

  /** Whether the file has these bytes already: zeros are not written into its holes. */
  async #holds(offsetBytes: number, wanted: Buffer, found: Buffer): Promise<boolean> {
    const { bytesRead } = await this.#file.read(found, 0, wanted.byteLength, offsetBytes);
    return bytesRead === wanted.byteLength && found.subarray(0, bytesRead).equals(wanted);
  }
}

const zeroBytes = 1024 * 1024;

interface FileShape {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  /** Whether the medium has holes that zeros should not fill. */
  readonly sparse: boolean;
}

async function shapeOf(
  path: string,
  file: FileHandle,
  { readOnly = false, blockSizeBytes }: FileDiskOptions,
): Promise<FileShape> {
  const stat = await worldly(`look at ${path}`, () => file.stat(), "medium");
  const node = stat.isBlockDevice()
    ? await worldly(`find the size of ${path}`, () => nodeShape(stat.rdev), "medium")
    : undefined;
  if (!node && !stat.isFile()) {
    throw new BlockError("medium", `Cannot open ${path}: it is neither a file nor a disk.`);
  }
  const found = {
    sizeBytes: node?.sizeBytes ?? stat.size,
    blockSizeBytes: node?.blockSizeBytes ?? blockSizeBytes ?? 512,
    readOnly,
    sparse: !node,
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

/** Size and logical block size of a Linux block device by its number, from sysfs. */
async function nodeShape(rdev: number): Promise<{ sizeBytes: number; blockSizeBytes: number }> {
  // Linux's dev_t: minor in bits 0–7 and 20–31, major in bits 8–19.
  const major = Math.floor(rdev / 256) % 4096;
  const minor = (rdev % 256) + Math.floor(rdev / 2 ** 20) * 256;
  const folder = await realpath(`/sys/dev/block/${major}:${minor}`);
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

/** Turns what the operating system says into a BlockError; `denied` is for missing rights. */
async function worldly<T>(
  doing: string,
  body: () => Promise<T>,
  denied: BlockErrorCode = "read-only",
): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof Error) || !("syscall" in error)) throw error;
    const found = (error as NodeJS.ErrnoException).code ?? "";
    const code = found === "EACCES" || found === "EPERM" ? denied : (codes[found] ?? "medium");
    throw new BlockError(code, `Cannot ${doing}: ${error.message}.`, { cause: error });
  }
}
