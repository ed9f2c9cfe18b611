/**
 * The nvmet directory of configfs: reading it into a Found, and the calls that change it. Reading
 * is synchronous, since it takes no lock. Of the changes, those that may wait for a disk or for
 * hosts are asynchronous; the others only note something down in the kernel.
 */
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { rmdir, unlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ConfigfsCalls } from "./apply.ts";
import type { Found, FoundHost, FoundNamespace, FoundPort, FoundSubsystem } from "./nvmet.ts";

/** Where nvmet's configfs lies below the root. */
export function nvmetDirectory(root: string): string {
  return join(root, "sys/kernel/config/nvmet");
}

/** Attributes whose writing opens, closes or asks the disk. */
const diskAttributes = ["enable", "revalidate_size"];

/**
 * The calls on a directory; a symlink's target is resolved by the kernel, so it is absolute. A new
 * box makes about fifty changes before its first disk is exported: each that is handed to another
 * thread waits for the processor up to three times, while everything else on the box boots.
 */
export function configfsCalls(directory: string): ConfigfsCalls {
  return {
    mkdir: async (path) => mkdirSync(join(directory, path)),
    rmdir: (path) => rmdir(join(directory, path)),
    write: async (path, value) => {
      const file = join(directory, path);
      if (!diskAttributes.includes(basename(path))) return writeAtOnce(file, value);
      await writeFile(file, value, { flag: constants.O_WRONLY });
    },
    link: async (path, target) => symlinkSync(join(directory, target), join(directory, path)),
    unlink: (path) => unlink(join(directory, path)),
  };
}

function writeAtOnce(path: string, value: string): void {
  const file = openSync(path, constants.O_WRONLY);
  try {
    writeSync(file, value);
  } finally {
    closeSync(file);
  }
}

/** Everything that is there. What vanishes while it is read counts as absent. */
export function readFound(directory: string): Found {
  return {
    ports: readPorts(directory),
    hosts: readHosts(directory),
    subsystems: names(join(directory, "subsystems")).map((nqn) => readSubsystem(directory, nqn)),
  };
}

/** `found` with the ports and the named subsystems read again: 32 disks need not all be reread. */
export function refreshFound(directory: string, found: Found, nqns: ReadonlySet<string>): Found {
  const present = names(join(directory, "subsystems"));
  const known = new Map(found.subsystems.map((subsystem) => [subsystem.nqn, subsystem]));
  return {
    ports: readPorts(directory),
    hosts: readHosts(directory),
    subsystems: present.map((nqn) => {
      const before = known.get(nqn);
      return before === undefined || nqns.has(nqn) ? readSubsystem(directory, nqn) : before;
    }),
  };
}

function readPorts(directory: string): FoundPort[] {
  return names(join(directory, "ports"))
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      const path = join(directory, "ports", name);
      const addr_tsas = text(join(path, "addr_tsas"));
      const addr_treq = text(join(path, "addr_treq"));
      return {
        id: Number(name),
        attributes: {
          addr_trtype: text(join(path, "addr_trtype")),
          addr_adrfam: text(join(path, "addr_adrfam")),
          addr_traddr: text(join(path, "addr_traddr")),
          addr_trsvcid: text(join(path, "addr_trsvcid")),
          ...(addr_tsas === "" ? {} : { addr_tsas }),
          ...(addr_treq === "" ? {} : { addr_treq }),
        },
        links: names(join(path, "subsystems")),
      };
    });
}

function readHosts(directory: string): FoundHost[] {
  return names(join(directory, "hosts")).map((nqn) => {
    const path = join(directory, "hosts", nqn);
    return {
      nqn,
      attributes: {
        dhchap_key: text(join(path, "dhchap_key")),
        dhchap_ctrl_key: text(join(path, "dhchap_ctrl_key")),
        dhchap_hash: text(join(path, "dhchap_hash")),
        dhchap_dhgroup: text(join(path, "dhchap_dhgroup")),
      },
    };
  });
}

function readSubsystem(directory: string, nqn: string): FoundSubsystem {
  const path = join(directory, "subsystems", nqn);
  return {
    nqn,
    allowAnyHost: text(join(path, "attr_allow_any_host")) === "1",
    allowedHosts: names(join(path, "allowed_hosts")),
    strings: {
      attr_serial: text(join(path, "attr_serial")),
      attr_model: text(join(path, "attr_model")),
      attr_firmware: text(join(path, "attr_firmware")),
    },
    namespaces: names(join(path, "namespaces"))
      .filter((name) => /^\d+$/.test(name))
      .map((name) => readNamespace(join(path, "namespaces", name), Number(name))),
  };
}

function readNamespace(path: string, nsid: number): FoundNamespace {
  return {
    nsid,
    attributes: {
      device_path: text(join(path, "device_path")),
      device_uuid: text(join(path, "device_uuid")),
      device_nguid: text(join(path, "device_nguid")),
    },
    enabled: text(join(path, "enable")) === "1",
  };
}

function names(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
