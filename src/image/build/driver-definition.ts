/** Loads a definition and reads the files that it names. */

import { constants, readdir, readFile, readlink, stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import type { ApplianceDefinition } from "../definition.ts";
import { checkDefinition } from "../definition-check.ts";
import { ImageError } from "../error.ts";
import type { ExtraFile } from "../finish/index.ts";
import { importTypeScript } from "./driver-type-stripping.ts";

/**
 * The default export of a definition's module, checked.
 * @throws ImageError `definition` when the module cannot be loaded or makes no sense.
 */
export async function loadDefinition(path: string): Promise<ApplianceDefinition> {
  let loaded: { readonly default?: unknown };
  try {
    loaded = await importTypeScript(path);
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ImageError(
      "definition",
      `Cannot load the definition ${path}: ${reason}`,
      { path },
      { cause },
    );
  }
  return checkDefinition(loaded.default, path);
}

/**
 * The definition's files with their contents.
 * @throws ImageError `definition` for a file that cannot be read.
 */
export async function readDefinitionFiles(
  definition: ApplianceDefinition,
  definitionPath: string,
): Promise<Map<string, ExtraFile>> {
  const directory = dirname(definitionPath);
  const read = Object.entries(definition.files ?? {}).map(async ([path, file]) => {
    const { content, ...facts } = file;
    if (typeof content === "string") return [path, { ...facts, content: Buffer.from(content) }];
    if (content instanceof Uint8Array || "symlink" in content) return [path, { ...facts, content }];
    const source = resolve(directory, content.file);
    try {
      return [path, { ...facts, content: await readFile(source) }];
    } catch (cause) {
      throw new ImageError(
        "definition",
        `Cannot read ${source}, which the definition puts at ${path}.`,
        { path, source },
        { cause },
      );
    }
  });
  const tree = definition.filesFrom ? await readTree(resolve(directory, definition.filesFrom)) : [];
  return new Map([...tree, ...((await Promise.all(read)) as [string, ExtraFile][])]);
}

/** All files and symbolic links below `root` by their path from it, in bytewise order. */
async function readTree(root: string): Promise<[string, ExtraFile][]> {
  const found = await readdir(root, { recursive: true, withFileTypes: true }).catch((cause) => {
    throw new ImageError("definition", `Cannot read the folder ${root}.`, { root }, { cause });
  });
  const paths = found
    .filter((entry) => !entry.isDirectory())
    .map((entry) => ({
      entry,
      path: relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"),
    }))
    .filter(({ path }) => path !== "README.md")
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  return await Promise.all(
    paths.map(async ({ entry, path }): Promise<[string, ExtraFile]> => {
      const source = join(root, path);
      if (entry.isSymbolicLink()) return [path, { content: { symlink: await readlink(source) } }];
      if (!entry.isFile()) {
        throw new ImageError(
          "definition",
          `Cannot put ${source} into the image: it is neither a file nor a symbolic link.`,
          { path, source },
        );
      }
      const [content, facts] = await Promise.all([readFile(source), stat(source)]);
      const isExecutable = (facts.mode & constants.S_IXUSR) !== 0;
      return [path, { content, mode: isExecutable ? 0o755 : 0o644 }];
    }),
  );
}
