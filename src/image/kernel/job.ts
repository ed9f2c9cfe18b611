/** The kernel's share of an image: modules with their index files, firmware, microcode, vmlinuz. */

import type { KernelDefinition } from "../definition.ts";
import type { Entry } from "../entry.ts";
import { parentPath, sortByPath } from "../unpack/index.ts";
import { depmod } from "./depmod.ts";
import { type MissingFirmware, type ModuleFirmware, selectFirmware } from "./firmware.ts";
import { microcodeEntries } from "./microcode.ts";
import { readKernelFiles } from "./modules.ts";
import { type ModuleReason, type Selection, selectModules } from "./select.ts";
import { unpackModules } from "./unpacked.ts";

/** All that `kernelJob` needs; entries have canonical paths, later ones of a path win. */
export interface KernelJobInput {
  readonly definition: Pick<
    KernelDefinition,
    "classes" | "modules" | "excludeModules" | "unpackedModules" | "excludeFirmware"
  >;
  /** Content of the linux-image package, or of those that it is made up of. */
  readonly kernelFiles: Iterable<Entry>;
  /** Content of all firmware packages. */
  readonly firmwareFiles: Iterable<Entry>;
  /** Content of all microcode packages. */
  readonly microcodeFiles: Iterable<Entry>;
  /** mtime of what is made here; seconds since 1970. */
  readonly epochSeconds: number;
}

/** One module of the image. */
export interface ReportedModule {
  readonly name: string;
  /** Below the modules folder. */
  readonly path: string;
  /** As it goes into the image. */
  readonly packedBytes: number;
  readonly reason: ModuleReason;
}

/** What `kernelJob` decided, for the build's summary and manifest. */
export interface KernelReport {
  /** By path. */
  readonly modules: readonly ReportedModule[];
  /** Sums over the chosen modules as they go into the image, and unpacked. */
  readonly modulePackedBytes: number;
  readonly moduleRawBytes: number;
  readonly firmwareBytes: number;
  readonly firmwareByModule: readonly ModuleFirmware[];
  readonly firmwareMissing: readonly MissingFirmware[];
  readonly unusedFirmwareExclusions: readonly string[];
  readonly unmatchedRules: Selection["unmatched"];
}

/** What `kernelJob` makes. */
export interface KernelJobOutput {
  /** `6.12.107+deb13-amd64`. */
  readonly release: string;
  readonly vmlinuz: Uint8Array;
  /** Below `usr/lib/modules/RELEASE` and `usr/lib/firmware`, parents first, by path. */
  readonly entries: readonly Entry[];
  /** For the `.ucode` section: an uncompressed cpio of its own. */
  readonly microcode: readonly Entry[];
  readonly report: KernelReport;
}

/** Index files that help nobody on the box: libkmod reads the binary twin. */
const textTwins = new Set(["modules.alias"]);

/**
 * Does everything that installing a kernel, firmware and microcode would, on values.
 * Modules stay signed, and compressed unless the definition names them: the kernel unpacks them.
 * @throws ImageError `kernel`, `module` or `firmware`; see the functions it calls.
 */
export function kernelJob(input: KernelJobInput): KernelJobOutput {
  const kernel = readKernelFiles(input.kernelFiles);
  const { chosen: packed, unmatched } = selectModules(kernel, input.definition);
  const chosen = unpackModules(kernel, packed, input.definition.unpackedModules ?? []);
  const firmware = selectFirmware(
    input.firmwareFiles,
    chosen.map(({ module }) => ({
      module: module.name,
      names: kernel.content(module).firmware,
    })),
    input.definition.excludeFirmware,
  );
  const indexes = depmod(
    kernel,
    chosen.map(({ module }) => module),
  )
    .filter(({ name }) => !textTwins.has(name))
    .map(
      ({ name, data }): Entry => ({
        type: "file",
        path: `usr/lib/modules/${kernel.release}/${name}`,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtimeSeconds: input.epochSeconds,
        data,
      }),
    );
  const files = [...chosen.map(({ module }) => module.entry), ...indexes, ...firmware.entries];
  return {
    release: kernel.release,
    vmlinuz: kernel.vmlinuz.data,
    entries: withParents(files, input.epochSeconds),
    microcode: microcodeEntries(input.microcodeFiles, input.epochSeconds),
    report: {
      modules: chosen.map(({ module: { name, path, entry }, reason }) => ({
        name,
        path,
        packedBytes: entry.data.length,
        reason,
      })),
      modulePackedBytes: sum(chosen, ({ module }) => module.entry.data.length),
      moduleRawBytes: sum(chosen, ({ module }) => kernel.content(module).rawBytes),
      firmwareBytes: sum(firmware.entries, (entry) =>
        entry.type === "file" ? entry.data.length : 0,
      ),
      firmwareByModule: firmware.byModule,
      firmwareMissing: firmware.missing,
      unusedFirmwareExclusions: firmware.unusedExclusions,
      unmatchedRules: unmatched,
    },
  };
}

/** The entries by path, with every folder above them. */
function withParents(files: readonly Entry[], mtimeSeconds: number): Entry[] {
  const all = new Map(files.map((entry) => [entry.path, entry]));
  const folder = { type: "directory", mode: 0o755, uid: 0, gid: 0, mtimeSeconds } as const;
  for (const { path } of files) {
    for (let up = parentPath(path); up !== "" && !all.has(up); up = parentPath(up)) {
      all.set(up, { ...folder, path: up });
    }
  }
  return sortByPath(all.values());
}

function sum<T>(items: readonly T[], bytesOf: (item: T) => number): number {
  return items.reduce((total, item) => total + bytesOf(item), 0);
}
