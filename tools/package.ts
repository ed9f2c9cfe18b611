/** What becomes of the sources, and of `exports`, when the package is made for others. */

import { posix } from "node:path";

/** Where the package's JavaScript and its declarations lie, from the package's root. */
export const distFolder = "dist";

/** What a door is to Node and to TypeScript: a source file, or what was made of it. */
export type Exports = Readonly<Record<string, unknown>>;

/** The parts that `exports` open, in a checkout and in the package. */
export function doorsOf(exports: Exports): string[] {
  return Object.keys(exports).map((entry) => entry.slice("./".length));
}

/** `exports` of a checkout. */
export function sourceExports(doors: readonly string[]): Exports {
  return Object.fromEntries(doors.map((part) => [`./${part}`, `./src/${part}/index.ts`]));
}

/** `exports` of the package. */
export function packedExports(doors: readonly string[]): Exports {
  return Object.fromEntries(
    doors.map((part) => [
      `./${part}`,
      {
        types: `./${distFolder}/types/${part}/index.d.ts`,
        default: `./${distFolder}/${part}.js`,
      },
    ]),
  );
}

/** A script that is started by its path, or any other use of `import.meta` that is no string. */
const referencePattern =
  /\bnew URL\(\s*"(\.\.?\/[^"]+\.ts)",\s*import\.meta\.url,?\s*\)|(?<!["'`])\bimport\.meta\.(\w+)/g;

/** Paths of the scripts that a source starts in threads. Paths are relative to the root. */
export function workersOf(path: string, text: string): string[] {
  const scripts = [...text.matchAll(referencePattern)].map(([, script]) => script);
  return scripts.flatMap((script) => (script ? posix.join(posix.dirname(path), script) : []));
}

/** The name in `dist/`, without an ending, of a script that is started by its path. */
export function workerName(path: string): string {
  return path
    .replace(/^src\//, "")
    .replace(/\.ts$/, "")
    .replaceAll("/", "-");
}

/**
 * A source for the bundle: scripts for threads are those beside it in `dist/`, and all else that it
 * finds by its own place is found from where the source lies.
 * @throws Error for a use of `import.meta` that it does not know.
 */
export function moveReferences(path: string, text: string): string {
  const folder = posix.dirname(path);
  return text.replaceAll(referencePattern, (found, script?: string, property?: string) => {
    if (script !== undefined) {
      return `new URL("./${workerName(posix.join(folder, script))}.js", import.meta.url)`;
    }
    switch (property) {
      case "main":
        return found;
      case "url":
        return `new URL("../${path}", import.meta.url).href`;
      case "dirname":
        return `(import.meta.dirname + "/../${folder}")`;
      default:
        throw new Error(
          `Cannot bundle ${path}: it uses ${found}, which tools/package.ts does not know. Add it there.`,
        );
    }
  });
}
