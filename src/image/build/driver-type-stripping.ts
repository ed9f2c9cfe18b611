/** Definitions in TypeScript where Node takes none: below node_modules, and before Node 22.18. */

import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { transformSync } from "esbuild";

const typeScript = /^file:.*\.m?ts$/;
const installed = /\/node_modules\//;

/**
 * The module at `path`; TypeScript that it consists of is made JavaScript where Node refuses to.
 * @throws what the module throws, and esbuild's messages.
 */
export async function importTypeScript(path: string): Promise<{ readonly default?: unknown }> {
  const hooks = registerHooks({
    load(url, context, next) {
      const isRefused = installed.test(url) || !process.features.typescript;
      if (!typeScript.test(url) || !isRefused) return next(url, context);
      const sourcefile = fileURLToPath(url);
      const text = readFileSync(sourcefile, "utf8");
      const { code } = transformSync(text, { loader: "ts", sourcefile, logLevel: "silent" });
      return { format: "module", source: code, shortCircuit: true };
    },
  });
  try {
    return await import(pathToFileURL(resolve(path)).href);
  } finally {
    hooks.deregister();
  }
}
