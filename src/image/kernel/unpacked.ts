/**
 * Modules that lie in the image as the kernel loads them. Debian's are compressed with xz, one by
 * one, and the kernel unpacks each at the time when it is asked for; for those that nearly every
 * machine loads while it boots, that is time which the segment's own compression does not take.
 */

import { ImageError } from "../error.ts";
import { decompress } from "../unpack/index.ts";
import { moduleName } from "./modinfo.ts";
import { type KernelFiles, type KernelModule, rawBytesMax } from "./modules.ts";
import type { ChosenModule } from "./select.ts";

const compressionSuffix = /\.(?:xz|zst|gz)$/;

/**
 * `chosen` with the modules of `names`, and all that they depend on, unpacked.
 * @throws ImageError `module` when a name is not among them, `package` when one is damaged.
 */
export function unpackModules(
  kernel: KernelFiles,
  chosen: readonly ChosenModule[],
  names: readonly string[],
): ChosenModule[] {
  const byName = new Map(chosen.map(({ module }) => [module.name, module]));
  const wanted = new Set<KernelModule>();
  for (const name of names) {
    const module = byName.get(moduleName(name));
    if (module !== undefined) wanted.add(module);
    else if (!kernel.builtin.has(moduleName(name))) throw notChosen(kernel, name);
  }
  // A Set's iterator also visits what is added during the walk.
  for (const module of wanted) {
    for (const name of kernel.content(module).depends.map(moduleName)) {
      const needed = byName.get(name);
      if (needed !== undefined) wanted.add(needed);
    }
  }
  return chosen.map((one) =>
    wanted.has(one.module) ? { ...one, module: unpackModule(one.module) } : one,
  );
}

function unpackModule({ name, path, entry }: KernelModule): KernelModule {
  return {
    name,
    path: path.replace(compressionSuffix, ""),
    entry: {
      ...entry,
      path: entry.path.replace(compressionSuffix, ""),
      data: decompress(entry.data, path, rawBytesMax),
    },
  };
}

function notChosen(kernel: KernelFiles, name: string): ImageError {
  return new ImageError(
    "module",
    `Cannot unpack the kernel module "${name}": it is not among the modules that the definition ` +
      `takes of ${kernel.release}. Correct kernel.unpackedModules.`,
    { module: name, release: kernel.release },
  );
}
