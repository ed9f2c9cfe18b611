/** The modules of one kernel; a module is unpacked when it is first asked for. */

import type { Entry } from "../entry.ts";
import { ImageError } from "../error.ts";
import { decompress } from "../unpack/index.ts";
import {
  type ElfFault,
  isElfFault,
  type ModuleSymbols,
  readElfSections,
  readSymbols,
} from "./elf.ts";
import { type ModuleInfo, moduleName, parseModinfo } from "./modinfo.ts";

/** An entry that is a regular file. */
export type FileEntry = Extract<Entry, { type: "file" }>;

/** One loadable module. */
export interface KernelModule {
  /** With underscores, as the kernel calls it. */
  readonly name: string;
  /** Below the modules folder: `kernel/drivers/nvme/target/nvmet.ko.xz`. */
  readonly path: string;
  /** As in the package, compressed. */
  readonly entry: FileEntry;
}

/** What is inside a module. */
export interface ModuleContent extends ModuleInfo, ModuleSymbols {
  /** Length when unpacked, in bytes. */
  readonly rawBytes: number;
}

/** A kernel and its modules. */
export interface KernelFiles {
  /** `6.12.107+deb13-amd64`. */
  readonly release: string;
  readonly vmlinuz: FileEntry;
  readonly modules: ReadonlyMap<string, KernelModule>;
  /** Names of modules that are part of the kernel itself. */
  readonly builtin: ReadonlySet<string>;
  /** `modules.order`, `modules.builtin` and `modules.builtin.modinfo`, as the package has them. */
  readonly order: Uint8Array;
  readonly builtinList: Uint8Array;
  readonly builtinModinfo: Uint8Array;
  /**
   * Unpacks and reads one module, once.
   * @throws ImageError `package` when its compression is damaged, `module` when the ELF object is.
   */
  content(module: KernelModule): ModuleContent;
}

const moduleFolder = /^usr\/lib\/modules\/([^/]+)\/(.+)$/;
/** Before and since Linux 7 of Debian. */
const kernelImage = /^(?:boot\/vmlinuz-[^/]+|usr\/lib\/modules\/[^/]+\/vmlinuz)$/;
const moduleFile = /\.ko(?:\.(?:xz|zst|gz))?$/;

/**
 * Sorts the files of a linux-image package, or of those that it is made up of.
 * @throws ImageError `kernel` when they are not one kernel with its modules.
 */
export function readKernelFiles(entries: Iterable<Entry>): KernelFiles {
  const releases = new Set<string>();
  const modules = new Map<string, KernelModule>();
  const lists = new Map<string, Uint8Array>();
  const images: FileEntry[] = [];
  for (const entry of entries) {
    if (entry.type !== "file") continue;
    if (kernelImage.test(entry.path)) images.push(entry);
    const match = moduleFolder.exec(entry.path);
    if (!match) continue;
    const [, release, path] = match as unknown as [string, string, string];
    releases.add(release);
    if (moduleFile.test(path)) {
      const name = moduleName(path);
      modules.set(name, { name, path, entry });
    } else if (!path.includes("/")) lists.set(path, entry.data);
  }
  const [release] = releases;
  const [vmlinuz] = images;
  if (release === undefined || releases.size > 1 || !vmlinuz || images.length > 1) {
    throw new ImageError(
      "kernel",
      `Cannot read the kernel package: found ${images.length} vmlinuz and modules of ` +
        `${releases.size} releases; wanted one of each. Name one linux-image package.`,
      { releases: [...releases], images: images.map(({ path }) => path) },
    );
  }
  const list = (name: string) => {
    const data = lists.get(name);
    if (data) return data;
    throw new ImageError(
      "kernel",
      `Cannot read the kernel package: usr/lib/modules/${release}/${name} is missing.`,
      { release, name },
    );
  };
  const contents = new Map<KernelModule, ModuleContent>();
  const builtinList = list("modules.builtin");
  return {
    release,
    vmlinuz,
    modules,
    builtin: new Set(textLines(builtinList).map(moduleName)),
    order: list("modules.order"),
    builtinList,
    builtinModinfo: list("modules.builtin.modinfo"),
    content(module) {
      const known = contents.get(module);
      if (known) return known;
      const content = readModule(module.path, module.entry.data);
      contents.set(module, content);
      return content;
    },
  };
}

/** The lines of a text file, without empty ones. */
export function textLines(file: Uint8Array): string[] {
  const text = Buffer.from(file.buffer, file.byteOffset, file.length).toString("latin1");
  return text.split("\n").filter((line) => line !== "");
}

/** The largest module of 6.12 (amdgpu) has 21 MiB. */
export const rawBytesMax = 256 * 1024 ** 2;

/**
 * Unpacks a module and reads what it says of itself.
 * @throws ImageError `package` or `module` when it is damaged.
 */
export function readModule(path: string, packed: Uint8Array): ModuleContent {
  const raw = decompress(packed, path, rawBytesMax);
  const sections = readElfSections(raw);
  if (isElfFault(sections)) throw damaged(path, sections);
  const section = sections.get(".modinfo");
  if (!section) {
    throw new ImageError("module", `Cannot read ${path}: it has no .modinfo section.`, { path });
  }
  const symbols = readSymbols(sections);
  if (isElfFault(symbols)) throw damaged(path, symbols);
  return { ...parseModinfo(section), ...symbols, rawBytes: raw.length };
}

function damaged(path: string, fault: ElfFault): ImageError {
  return new ImageError(
    "module",
    `Cannot read ${path}: no whole 64-bit ELF object (${fault.reason} at byte ${fault.offset}).`,
    { path, ...fault },
  );
}
