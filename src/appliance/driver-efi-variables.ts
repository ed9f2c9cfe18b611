/**
 * The firmware's variables through efivarfs: a file for each, four bytes of attributes before its
 * data, written in one call (kernel, Documentation/filesystems/efivarfs.rst). Only variables of the
 * boot manager and our own are ever written.
 *
 * Our own code and not efibootmgr: that has no way to keep a note in a variable of another vendor,
 * knows disks by what it understands of sysfs, and tells its errors in prose.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { runTool } from "./driver-process.ts";
import { efiError, efiFault } from "./efi-fault.ts";
import { efiVariables } from "./efi-names.ts";

const attributeBytes = 4;
/** Kept without power, and there for loaders and systems (UEFI 2.11, 8.2.1). */
const attributes = 0x7;
const toolTimeoutMs = 10_000;
/** A read is tried again after these: signals interrupt it where the kernel holds readers back. */
const interruptionsMax = 3;

/** The variables of the machine below `root`. */
export class EfiVariables {
  readonly #directory: string;

  constructor(root: string) {
    this.#directory = join(root, efiVariables);
  }

  /** Names with their vendors: `Boot0001-8be4df61-…`; none where there is no EFI. */
  list(): readonly string[] {
    try {
      return readdirSync(this.#directory);
    } catch {
      return [];
    }
  }

  /**
   * A variable's data without its attributes; null when it is not there. An empty file is such a one,
   * too: the kernel has its name, and the firmware does not know it (fs/efivarfs/file.c).
   * @throws ApplianceError `efi` when it is there and cannot be read
   */
  read(name: string, vendor: string): Uint8Array | null {
    for (let left = interruptionsMax; ; left--) {
      try {
        const bytes = readFileSync(this.#path(name, vendor));
        if (bytes.length < attributeBytes) return null;
        return new Uint8Array(bytes.subarray(attributeBytes));
      } catch (cause) {
        const code = codeOf(cause);
        if (code === "ENOENT") return null;
        if (code === "EINTR" && left > 0) continue;
        const message = `Cannot read the EFI variable ${name} (${code}).`;
        throw efiError("unreadable", message, name, cause);
      }
    }
  }

  /**
   * Writes a variable, removes it for null, and reads it back.
   * @throws ApplianceError `efi`
   */
  async write(name: string, vendor: string, data: Uint8Array | null): Promise<void> {
    if (this.list().length === 0) {
      const message =
        "This machine has no EFI variables: it was booted by a BIOS, or without them.";
      throw efiError("no-efi", message, name);
    }
    if (data?.length === 0) {
      const message = `The EFI variable ${name} is not written: without data it would be removed.`;
      throw efiError("refused", message, name);
    }
    const isNew = !this.#hasData(name, vendor);
    if (data === null && isNew) return;
    try {
      await this.#putOrFree(name, vendor, data);
    } catch (cause) {
      if (isNew) await this.#drop(this.#path(name, vendor));
      const dumps = this.list().filter((one) => one.startsWith("dump-type")).length;
      throw efiFault(codeOf(cause), name, dumps, cause);
    }
    const found = this.read(name, vendor);
    if (data === null ? found === null : found && sameBytes(found, data)) return;
    const what = data === null ? "did not remove" : "took, and gives back something else for,";
    throw efiError("refused", `The firmware ${what} the variable ${name}.`, name);
  }

  /**
   * Linux guards variables that it does not know by making them immutable. Only where that is what
   * is in the way: a first write that fails leaves a name that is immutable too.
   */
  async #putOrFree(name: string, vendor: string, data: Uint8Array | null): Promise<void> {
    try {
      this.#put(name, vendor, data);
    } catch (error) {
      const code = codeOf(error);
      if (code === "EROFS") {
        const remount = ["-o", "remount,rw", this.#directory];
        await runTool("mount", remount, toolTimeoutMs).catch(() => "");
      } else if (code === "EPERM" || code === "EACCES") {
        await clearImmutable(this.#path(name, vendor));
      } else throw error;
      this.#put(name, vendor, data);
    }
  }

  /** One call for attributes and data, as efivarfs wants it. */
  #put(name: string, vendor: string, data: Uint8Array | null): void {
    const path = this.#path(name, vendor);
    if (data === null) {
      unlinkSync(path);
      return;
    }
    const bytes = new Uint8Array(attributeBytes + data.length);
    new DataView(bytes.buffer).setUint32(0, attributes, true);
    bytes.set(data, attributeBytes);
    const file = openSync(path, "w");
    try {
      writeSync(file, bytes);
    } finally {
      closeSync(file);
    }
  }

  /** The kernel keeps the name of a variable whose first write has failed, and guards it. */
  async #drop(path: string): Promise<void> {
    await clearImmutable(path);
    try {
      unlinkSync(path);
    } catch {
      // It is not there, or holds no bytes: the firmware has no such variable either way.
    }
  }

  /** What cannot be read may be written all the same. */
  #hasData(name: string, vendor: string): boolean {
    try {
      return this.read(name, vendor) !== null;
    } catch {
      return true;
    }
  }

  #path(name: string, vendor: string): string {
    return join(this.#directory, `${name}-${vendor}`);
  }
}

/** chattr is not on the box, and systemd-tmpfiles does the same (tmpfiles.d, `h`). */
function clearImmutable(path: string): Promise<void> {
  return new Promise((resolve) => {
    const stdio = ["pipe", "ignore", "ignore"] as const;
    const child = spawn("systemd-tmpfiles", ["--create", "-"], { stdio: [...stdio] });
    child.on("error", () => resolve());
    child.on("close", () => resolve());
    child.stdin?.on("error", () => {});
    child.stdin?.end(`h ${path} - - - - -i\n`);
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
