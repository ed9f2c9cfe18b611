/** Reads where a disk is, for `findDiskPath`. */
import { readdirSync, realpathSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import type { DiskPlace } from "./disk-path.ts";
import { readOptional } from "./driver-files.ts";

/** Of the disk with this path below /sys. */
export function readDiskPlace(root: string, path: string): DiskPlace {
  const devicePath = followController(root, path);
  const read = (...parts: readonly string[]) => readOptional(root, join("sys", ...parts))?.trim();
  const [pciRoot = ""] = /^\/devices\/[^/]+/.exec(devicePath) ?? [];
  const [ataDevice = "", ata = ""] = /^.*\/(ata\d+)(?=\/)/.exec(devicePath) ?? [];
  return {
    devicePath,
    rootUid: numberOf(read(pciRoot, "firmware_node/uid")),
    nvme: readNvme(path, read),
    ataPort: ata === "" ? null : before(numberOf(read(ataDevice, "ata_port", ata, "port_no"))),
  };
}

/** A multipath disk lies below its subsystem, which links its controllers: if it has only one, there. */
function followController(root: string, path: string): string {
  if (!path.startsWith("/devices/virtual/nvme-subsystem/")) return path;
  const subsystem = join(root, "sys", dirname(path));
  try {
    const [only, ...others] = readdirSync(subsystem).filter((name) => /^nvme\d+$/.test(name));
    if (only === undefined || others.length > 0) return path;
    const controller = relative(
      realpathSync(join(root, "sys")),
      realpathSync(join(subsystem, only)),
    );
    return join("/", controller, basename(path));
  } catch {
    return path;
  }
}

/**
 * The kernel shows an EUI-64 that is not zero, unless it distrusts all that the disk calls itself;
 * then it shows no NGUID and no UUID either (drivers/nvme/host/sysfs.c and core.c).
 */
function readNvme(
  path: string,
  read: (...parts: readonly string[]) => string | undefined,
): DiskPlace["nvme"] {
  const nsid = numberOf(read(path, "nsid"));
  if (nsid === null) return null;
  const eui = read(path, "eui");
  if (eui !== undefined)
    return { nsid, eui: Uint8Array.from(Buffer.from(eui.replaceAll(" ", ""), "hex")) };
  const isTrusted = read(path, "nguid") !== undefined || read(path, "uuid") !== undefined;
  return { nsid, eui: isTrusted ? new Uint8Array(8) : null };
}

function numberOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/** The kernel counts ports from one. */
function before(port: number | null): number | null {
  return port === null || port === 0 ? null : port - 1;
}
