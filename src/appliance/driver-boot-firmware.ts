/** Reads what the firmware's variables say of booting. */
import type { FirmwareBoot, LoaderMarks } from "./boot-comeback.ts";
import { type LoadOption, parseLoadOption, parseNumbers } from "./boot-option.ts";
import type { EfiVariables } from "./driver-efi-variables.ts";
import { readOptional } from "./driver-files.ts";
import { globalVendor, loaderVendor } from "./efi-names.ts";
import { isStartedByKexec } from "./kexec.ts";

/** Counts boots in firmware that descends from EDK II (MdeModulePkg, MonotonicCounterRuntimeDxe). */
const bootCounter = { name: "MTC", vendor: "eb704011-1402-11d3-8e77-00a0c969723b" };

/**
 * Of the machine below `root`.
 * @throws ApplianceError `efi` when a variable that all depends on cannot be read
 */
export function readFirmwareBoot(root: string, variables: EfiVariables): FirmwareBoot {
  const numbers = (name: string) => parseNumbers(variables.read(name, globalVendor) ?? noBytes);
  const count = readIfPossible(variables, bootCounter.name, bootCounter.vendor);
  return {
    options: readOptions(variables),
    order: numbers("BootOrder"),
    current: numbers("BootCurrent")[0] ?? null,
    next: numbers("BootNext")[0] ?? null,
    bootCount: count?.length === 4 ? Buffer.from(count).readUInt32LE() : null,
    isKexec: isStartedByKexec(readOptional(root, "proc/sys/kernel/bootloader_type")),
    loader: readLoader(variables),
  };
}

/** Whether Secure Boot is on, where the firmware says. */
export function readSecureBoot(variables: EfiVariables): boolean | null {
  const secure = readIfPossible(variables, "SecureBoot", globalVendor);
  return secure === null ? null : secure[0] === 1;
}

const noBytes = new Uint8Array();

function readOptions(variables: EfiVariables): ReadonlyMap<number, LoadOption | null> {
  const options = new Map<number, LoadOption | null>();
  for (const file of variables.list()) {
    const [, name = "", digits = "", vendor] = /^(Boot([0-9A-F]{4}))-(.+)$/.exec(file) ?? [];
    if (vendor !== globalVendor) continue;
    const data = readIfPossible(variables, name, vendor);
    options.set(Number.parseInt(digits, 16), data === null ? null : parseLoadOption(data));
  }
  return options;
}

function readLoader(variables: EfiVariables): LoaderMarks {
  const text = (name: string): string | null => {
    const data = variables.read(name, loaderVendor);
    if (data === null) return null;
    return new TextDecoder("utf-16le").decode(data).replaceAll("\0", "") || null;
  };
  return {
    menu: text("LoaderInfo"),
    entry: text("LoaderEntrySelected"),
    partUuid: text("LoaderDevicePartUUID")?.toLowerCase() ?? null,
    file: text("LoaderImageIdentifier"),
  };
}

/** Null too where it is there and the firmware does not give it. */
function readIfPossible(variables: EfiVariables, name: string, vendor: string): Uint8Array | null {
  try {
    return variables.read(name, vendor);
  } catch {
    return null;
  }
}
