/** Which tests start virtual machines. */

import { posix } from "node:path";
import { findImports, type SourceFile, scanCode } from "./source.ts";

/** Every machine is started by this function of `vm`. */
const starter = /\bstartVm\b/;

/**
 * Of these files, the tests whose code names `startVm`, or imports another of the files that does,
 * or that imports such a one.
 */
export function listMachineTests(files: readonly SourceFile[]): ReadonlySet<string> {
  const known = new Map(
    files.map(({ path, text }) => {
      const scanned = scanCode(text);
      const imports = findImports(scanned).map(({ specifier }) =>
        posix.join(posix.dirname(path), specifier),
      );
      return [path, { isStarting: starter.test(scanned.code), imports }] as const;
    }),
  );
  const starts = (path: string, seen: Set<string>): boolean => {
    const file = known.get(path);
    if (file === undefined || seen.has(path)) return false;
    seen.add(path);
    return file.isStarting || file.imports.some((each) => starts(each, seen));
  };
  const tests = files.map(({ path }) => path).filter((path) => path.endsWith(".test.ts"));
  return new Set(tests.filter((path) => starts(path, new Set())));
}
