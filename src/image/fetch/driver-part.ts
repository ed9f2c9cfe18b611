/**
 * A file of the cache while it is being fetched.
 *
 * A part is named after its writer (`NAME.HOST-PID-N.part`), so processes with one cache do not
 * meet; a part whose writer has ended is taken over by renaming it, which only one can do. Should
 * a writer on another machine live on all the same, both write the same bytes to the same places.
 */
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { errorOfStorage } from "./failure.ts";

/** A digest that a file must have, in lower-case hex. */
export interface Digest {
  readonly algorithm: "sha256" | "sha512";
  readonly hex: string;
}

/** An unfinished file; disposal closes it and keeps what it holds for the next attempt. */
export interface PartFile extends AsyncDisposable {
  /** How much there is; always a prefix. */
  readonly haveBytes: number;
  append(data: Uint8Array): Promise<void>;
  /** Drops everything from the start on. */
  discard(): Promise<void>;
  /** Digest of what there is, in hex. */
  digestHex(): string;
  /** Gives the file its final name at once; it is closed then. */
  commit(): Promise<void>;
}

const activeParts = new Set<string>();
let partCount = 0;

/** Parts of other machines count as left behind after this long without a write. */
const foreignPartAgeMs = 3600 * 1000;

/**
 * Opens the part of `path`, taking over one that was left behind.
 * @throws ImageError `io` or `disk-full`, from every method too.
 */
export async function openPart(
  path: string,
  sizeBytes: number,
  algorithm: Digest["algorithm"],
): Promise<PartFile> {
  partCount += 1;
  const partPath = `${path}.${hostName()}-${process.pid}-${partCount}.part`;
  activeParts.add(partPath);
  const guard = async <T>(step: () => Promise<T>, neededBytes: number): Promise<T> => {
    try {
      return await step();
    } catch (error) {
      throw errorOfStorage(error, partPath, neededBytes);
    }
  };
  try {
    return await guard(async () => {
      await mkdir(dirname(path), { recursive: true });
      const isTaken = await takeOver(path, partPath);
      const file = await open(partPath, isTaken ? "r+" : "wx+");
      return await createPart(file, { path, partPath, sizeBytes, algorithm, guard });
    }, sizeBytes);
  } catch (error) {
    activeParts.delete(partPath);
    throw error;
  }
}

interface PartContext {
  readonly path: string;
  readonly partPath: string;
  readonly sizeBytes: number;
  readonly algorithm: Digest["algorithm"];
  guard<T>(step: () => Promise<T>, neededBytes: number): Promise<T>;
}

async function createPart(file: FileHandle, context: PartContext): Promise<PartFile> {
  const { path, partPath, sizeBytes, algorithm, guard } = context;
  let haveBytes = (await file.stat()).size;
  let hash = createHash(algorithm);
  let isOpen = true;
  if (haveBytes > sizeBytes) {
    await file.truncate(0);
    haveBytes = 0;
  }
  await hashPrefix(file, hash, haveBytes);

  const close = async () => {
    if (isOpen) {
      isOpen = false;
      await file.close();
    }
  };
  return {
    get haveBytes() {
      return haveBytes;
    },
    append: (data) =>
      guard(async () => {
        for (let done = 0; done < data.length; ) {
          const left = data.length - done;
          done += (await file.write(data, done, left, haveBytes + done)).bytesWritten;
        }
        hash.update(data);
        haveBytes += data.length;
      }, sizeBytes - haveBytes),
    discard: () =>
      guard(async () => {
        if (haveBytes > 0) {
          await file.truncate(0);
          haveBytes = 0;
          hash = createHash(algorithm);
        }
      }, sizeBytes),
    digestHex: () => hash.copy().digest("hex"),
    commit: () =>
      guard(async () => {
        await close();
        await rename(partPath, path);
        // Not before: another call of this process would take it for one that was left behind.
        activeParts.delete(partPath);
        await removeLeftovers(path);
      }, 0),
    async [Symbol.asyncDispose]() {
      const isAbandoned = isOpen && haveBytes === 0;
      await close();
      if (isAbandoned) {
        await unlink(partPath).catch(() => undefined);
      }
      activeParts.delete(partPath);
    },
  };
}

/** Hex digest of a whole file. */
export async function digestOfFile(path: string, algorithm: Digest["algorithm"]): Promise<string> {
  const hash = createHash(algorithm);
  const file = await open(path, "r");
  try {
    await hashPrefix(file, hash, (await file.stat()).size);
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}

async function hashPrefix(file: FileHandle, hash: Hash, lengthBytes: number): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(lengthBytes, 1024 * 1024));
  let offset = 0;
  while (offset < lengthBytes) {
    const wanted = Math.min(buffer.length, lengthBytes - offset);
    const { bytesRead } = await file.read(buffer, 0, wanted, offset);
    if (bytesRead === 0) {
      throw new Error(`the file ended at byte ${offset} of ${lengthBytes}`);
    }
    hash.update(buffer.subarray(0, bytesRead));
    offset += bytesRead;
  }
}

async function takeOver(path: string, partPath: string): Promise<boolean> {
  for (const leftover of await leftoversOf(path)) {
    try {
      await rename(leftover, partPath);
      return true;
    } catch {
      // Another process was faster, or its folder forbids it: the next one may do.
    }
  }
  return false;
}

async function removeLeftovers(path: string): Promise<void> {
  for (const leftover of await leftoversOf(path)) {
    await unlink(leftover).catch(() => undefined);
  }
}

/** Parts of `path` that nobody writes any more. */
async function leftoversOf(path: string): Promise<string[]> {
  const folder = dirname(path);
  const prefix = `${basename(path)}.`;
  const leftovers: string[] = [];
  for (const name of await readdir(folder)) {
    const owner = name.startsWith(prefix) ? PART_NAME.exec(name.slice(prefix.length)) : null;
    const candidate = join(folder, name);
    if (owner !== null && (await isLeftover(candidate, owner[1]!, Number(owner[2])))) {
      leftovers.push(candidate);
    }
  }
  return leftovers;
}

const PART_NAME = /^(.+)-(\d+)-\d+\.part$/;

async function isLeftover(candidate: string, host: string, pid: number): Promise<boolean> {
  if (host !== hostName()) {
    const modifiedMs = await stat(candidate).then(
      (found) => found.mtimeMs,
      () => Number.POSITIVE_INFINITY,
    );
    return Date.now() - modifiedMs > foreignPartAgeMs;
  }
  return pid === process.pid ? !activeParts.has(candidate) : !isAlive(pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

function hostName(): string {
  return hostname().replace(/[^\w.]/g, "_") || "localhost";
}
