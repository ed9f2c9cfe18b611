/**
 * npm's `prepack` and `postpack`: what others install.
 *
 * Node strips no types below node_modules, so the package's doors and its command are made JavaScript
 * in `dist/`: a file for each, and chunks that they share, so that a class is the same one behind
 * every door. `exports` of package.json lead there while npm makes the tarball. `postpack` takes all of
 * it back: a checkout runs its sources.
 */

import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { posix, relative, sep } from "node:path";
import { build, type Plugin } from "esbuild";
import {
  distFolder,
  doorsOf,
  type Exports,
  moveReferences,
  packedExports,
  sourceExports,
  workerName,
  workersOf,
} from "./package.ts";
import { findFiles, readFiles, root, runQuietly } from "./project.ts";

const dist = `${root}/${distFolder}`;
const types = `${dist}/types`;
/** The oldest Node for the libraries; `engines` of package.json and docs/nvme-tcp.md name it. */
const target = "node22.20";

async function prepack(): Promise<void> {
  await rm(dist, { recursive: true, force: true });
  const doors = doorsOf((await readManifest()).exports);
  await mkdir(types, { recursive: true });
  await Promise.all([makeScripts(doors), makeDeclarations(doors)]);
  // Last, so that it leads nowhere at no time.
  await replaceExports(packedExports(doors));
}

async function postpack(): Promise<void> {
  await replaceExports(sourceExports(doorsOf((await readManifest()).exports)));
  await rm(dist, { recursive: true, force: true });
}

interface Manifest {
  readonly exports: Exports;
}

async function readManifest(): Promise<Manifest> {
  return JSON.parse(await readFile(`${root}/package.json`, "utf8"));
}

async function replaceExports(exports: Exports): Promise<void> {
  const manifest = { ...(await readManifest()), exports };
  const written = `${root}/package.json.tmp`;
  await writeFile(written, `${JSON.stringify(manifest, null, 2)}\n`);
  await rename(written, `${root}/package.json`);
}

async function makeScripts(doors: readonly string[]): Promise<void> {
  const sources = await readFiles(await findFiles(["src/**/*.ts"]));
  const workers = sources
    .filter(({ path }) => !path.endsWith(".test.ts"))
    .flatMap(({ path, text }) => workersOf(path, text));
  const entries = [
    ...doors.map((part) => [part, `src/${part}/index.ts`]),
    ["cli", "src/cli/main.ts"],
    ...workers.map((path) => [workerName(path), path]),
  ];
  await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(entries),
    outdir: dist,
    bundle: true,
    splitting: true,
    chunkNames: "chunk-[hash]",
    packages: "external",
    platform: "node",
    format: "esm",
    target,
    legalComments: "none",
    plugins: [movedReferences],
    logLevel: "warning",
  });
}

const movedReferences: Plugin = {
  name: "moved references",
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const source = relative(root, path).split(sep).join("/");
      return { contents: moveReferences(source, await readFile(path, "utf8")), loader: "ts" };
    });
  },
};

/** Declarations of all that the doors show; those that only tests or the inside see stay out. */
async function makeDeclarations(doors: readonly string[]): Promise<void> {
  const project = `${dist}/tsconfig.json`;
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    rootDir: "../src",
    outDir: "types",
  };
  const files = doors.map((part) => `../src/${part}/index.ts`);
  await writeFile(
    project,
    JSON.stringify({ extends: "../tsconfig.json", compilerOptions, files, include: [] }),
  );
  const compiler = `${root}/node_modules/typescript/bin/tsc`;
  const { code, output } = await runQuietly(process.execPath, [compiler, "-p", project]);
  await rm(project);
  if (code !== 0) throw new Error(`Cannot make the declarations:\n${output}`);
  const seen = await followImports(doors.map((part) => `${part}/index.d.ts`));
  for (const path of await readdir(types, { recursive: true })) {
    const name = path.split(sep).join("/");
    if (name.endsWith(".d.ts") && !seen.has(name)) await rm(`${types}/${name}`);
  }
  for (const part of doors) {
    // TypeScript 6 and later look for no types of Node by themselves.
    const door = `${types}/${part}/index.d.ts`;
    const text = await readFile(door, "utf8");
    await writeFile(door, `/// <reference types="node" />\n${text}`);
  }
}

/** The declarations that some declarations come to; paths from the folder of all of them. */
async function followImports(starts: readonly string[]): Promise<Set<string>> {
  const seen = new Set<string>();
  const waiting = [...starts];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const text = await readFile(`${types}/${path}`, "utf8");
    for (const [, specifier] of text.matchAll(/\b(?:from|import\()\s*"(\.[^"]+)\.ts"/g)) {
      waiting.push(posix.join(posix.dirname(path), `${specifier}.d.ts`));
    }
  }
  return seen;
}

const commands: Readonly<Record<string, () => Promise<void>>> = { prepack, postpack };
const command = commands[process.argv[2] ?? ""];
if (command === undefined) {
  console.error(`usage: node tools/pack.ts ${Object.keys(commands).join("|")}`);
  process.exit(2);
}
await command();
