/** Small files below the root: what the daemon is told, and what it leaves for its next run. */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BootClues } from "./boot-medium.ts";
import { efiVariables, globalVendor, loaderVendor } from "./efi-names.ts";
import { ApplianceError } from "./error.ts";
import { parseBootCurrent, parseBootOption, parseTextVariable } from "./firmware-path.ts";

/** The text of a file below the root, or null when it cannot be read. */
export function readOptional(root: string, path: string): string | null {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch {
    return null;
  }
}

/** What boot loader and firmware left in EFI variables. */
export function readBootClues(root: string): BootClues {
  const read = (name: string): Uint8Array | null => {
    try {
      return readFileSync(join(root, efiVariables, name));
    } catch {
      return null;
    }
  };
  const partition = read(`LoaderDevicePartUUID-${loaderVendor}`);
  const current = read(`BootCurrent-${globalVendor}`);
  const number = current === null ? null : parseBootCurrent(current);
  const option = number === null ? null : read(`Boot${number}-${globalVendor}`);
  const uuid = partition === null ? "" : parseTextVariable(partition).toLowerCase();
  return {
    partitionUuid: uuid === "" ? null : uuid,
    firmwarePath: option === null ? null : parseBootOption(option),
  };
}

/** Whether EFI variables can be read at all; an empty directory is not mounted. */
export function hasEfiVariables(root: string): boolean {
  try {
    return readdirSync(join(root, efiVariables)).length > 0;
  } catch {
    return false;
  }
}

/** Whether the kernel speaks IPv6. */
export function hasIpv6(root: string): boolean {
  return readOptional(root, "proc/sys/net/ipv6/bindv6only") !== null;
}

/**
 * Replaces files of one directory in such a way that a reader never sees half of one. At once: it is
 * in memory, and who hears that the daemon is ready, or has given a grant, finds what was written.
 */
export class JsonDirectory {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws ApplianceError `state` when the directory takes no file */
  write(name: string, value: unknown, mode = 0o644): void {
    const path = join(this.#path, name);
    try {
      mkdirSync(this.#path, { recursive: true });
      writeFileSync(`${path}.new`, `${JSON.stringify(value, null, 1)}\n`, { mode });
      renameSync(`${path}.new`, path);
    } catch (error) {
      const message = `Cannot write ${path}; the next start will not know what this one did.`;
      throw new ApplianceError("state", message, { path }, { cause: error });
    }
  }
}
