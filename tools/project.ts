/** The project's own files, and programs run over them. */

import { spawn } from "node:child_process";
import { glob, readFile } from "node:fs/promises";
import { posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { SourceFile } from "./source.ts";

/** The root of the checkout. */
export const root: string = fileURLToPath(new URL("..", import.meta.url));

/** Paths that match, relative to the root, sorted. */
export async function findFiles(patterns: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const isForeign = (entry: { name: string }) =>
    ["node_modules", "out", ".git"].includes(entry.name);
  const options = { cwd: root, withFileTypes: true, exclude: isForeign } as const;
  for await (const entry of glob(patterns, options)) {
    if (!entry.isFile()) continue;
    const folder = relative(root, entry.parentPath).split(sep).join("/");
    found.push(posix.join(folder, entry.name));
  }
  return found.sort();
}

/** The files with their text. */
export async function readFiles(paths: readonly string[]): Promise<SourceFile[]> {
  return Promise.all(
    paths.map(async (path) => ({ path, text: await readFile(`${root}/${path}`, "utf8") })),
  );
}

/** How a program ended, and all that it wrote. */
export interface Outcome {
  readonly code: number;
  readonly output: string;
}

/** Runs a program in the root with nothing on its standard input, and keeps what it writes. */
export function runQuietly(program: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** Runs a program in the root, in this terminal. */
export function runOpenly(program: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: "inherit" });
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
