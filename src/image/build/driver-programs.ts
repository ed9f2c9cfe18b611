/** Programs of ours that run in the image: TypeScript bundled into one file each. */

import { dirname, resolve } from "node:path";
import { build } from "esbuild";
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
      try {
        const result = await build({
          entryPoints: [entryPath],
          absWorkingDir: directory,
          bundle: true,
          write: false,
          platform: "node",
          format: "esm",
          target: "node24",
          minifySyntax: true,
          legalComments: "none",
          logLevel: "silent",
        });
        const content = result.outputFiles[0]!.contents;
        return [path, { content, mode: 0o644 }] as const;
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
  return new Map(bundled);
}
