/**
 * Programs of ours that run in the image: TypeScript bundled into one file each, and one for each
 * part that the program imports when it comes to need it.
 */

import { readFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { build, type OnResolveArgs, type OnResolveResult, type Plugin } from "esbuild";
import type { ApplianceDefinition } from "../definition.ts";
import { ImageError } from "../error.ts";
import type { ExtraFile } from "../finish/index.ts";

/**
 * Bundles the definition's programs; the same sources give the same bytes wherever they lie.
 * @throws ImageError `definition` with esbuild's messages.
 */
export async function bundlePrograms(
  definition: ApplianceDefinition,
  definitionPath: string,
): Promise<Map<string, ExtraFile>> {
  const directory = dirname(definitionPath);
  const bundled = await Promise.all(
    Object.entries(definition.programs ?? {}).map(async ([path, { entry }]) => {
      const entryPath = resolve(directory, entry);
      // Nothing is written there.
      const outdir = resolve(directory, "bundled");
      try {
        const result = await build({
          entryPoints: [{ in: entryPath, out: basename(path, ".mjs") }],
          absWorkingDir: directory,
          bundle: true,
          // Names of files stand in what is made: those by which they were asked for.
          preserveSymlinks: true,
          splitting: true,
          outdir,
          outExtension: { ".js": ".mjs" },
          write: false,
          platform: "node",
          format: "esm",
          target: "node24",
          minifySyntax: true,
          legalComments: "none",
          plugins: [packageNames],
          logLevel: "silent",
        });
        return result.outputFiles.map((file) => {
          const name = join(dirname(path), relative(outdir, file.path));
          return [name, { content: file.contents, mode: 0o644 }] as const;
        });
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new ImageError(
          "definition",
          `Cannot bundle the program ${path} from ${entryPath}: ${reason}`,
          { path, entry: entryPath },
          { cause },
        );
      }
    }),
  );
  return new Map(bundled.flat());
}

/**
 * Calls a file of an npm package `npm:PACKAGE/FILE`, since npm puts packages beside ours or into it,
 * and names of files stand in what is made.
 */
const packageNames: Plugin = {
  name: "package names",
  setup({ onLoad, onResolve, resolve: find }) {
    const name = async (args: OnResolveArgs): Promise<OnResolveResult | undefined> => {
      if (args.pluginData === isBeingFound) return undefined;
      const { importer, kind, resolveDir } = args;
      const found = await find(args.path, { importer, kind, resolveDir, pluginData: isBeingFound });
      const [, inModules] = /.*[\\/]node_modules[\\/](.*)/.exec(found.path) ?? [];
      if (found.external || found.namespace !== "file" || inModules === undefined) return found;
      return {
        path: inModules.split(sep).join("/"),
        namespace: packageSpace,
        sideEffects: found.sideEffects,
        pluginData: { file: found.path },
      };
    };
    onResolve({ filter: /^[^./]/, namespace: "file" }, name);
    onResolve({ filter: /^/, namespace: packageSpace }, name);
    onLoad({ filter: /^/, namespace: packageSpace }, async ({ pluginData: { file } }) => {
      return { contents: await readFile(file), resolveDir: dirname(file), loader: "default" };
    });
  },
};

const packageSpace = "npm";
const isBeingFound = Symbol("is being found");
