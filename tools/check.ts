/** `npm run check`: types, lint, walls, tidiness, npm's lock, dead code; all, whatever one finds. */

import { checkLock } from "./lock.ts";
import { findFiles, type Outcome, readFiles, root, runQuietly } from "./project.ts";
import { checkRoot, checkTidy } from "./tidy.ts";
import { checkWalls, type Finding } from "./walls.ts";

/** A program from node_modules, run with this Node. */
function runPackage(path: string, ...args: string[]): Promise<Outcome> {
  return runQuietly(process.execPath, [`${root}/node_modules/${path}`, ...args]);
}

async function runFindings(find: () => Promise<Finding[]>): Promise<Outcome> {
  const findings = await find();
  const output = findings.map(({ path, message }) => `${path}: ${message}\n`).join("");
  return { code: findings.length === 0 ? 0 : 1, output };
}

async function listPackages(): Promise<Set<string>> {
  const [manifest] = await readFiles(["package.json"]);
  const { dependencies, optionalDependencies, devDependencies } = JSON.parse(
    manifest!.text,
  ) as Record<string, Record<string, string>>;
  const tables = [dependencies, optionalDependencies, devDependencies];
  return new Set(tables.flatMap((table) => Object.keys(table ?? {})));
}

const files = findFiles(["**/*", ".ci/*"]).then((paths) =>
  readFiles(paths.filter((path) => !/\.(?:png|jpg|gif|bin|deb|gz|xz|zst|gpg|pgp)$/.test(path))),
);

/** Paths that git knows; none where this is no checkout of git's. */
async function listTracked(): Promise<string[]> {
  const { code, output } = await runQuietly("git", ["ls-files"]).catch(() => ({
    code: 1,
    output: "",
  }));
  return code === 0 ? output.split("\n").filter((path) => path !== "") : [];
}

const checks: Readonly<Record<string, () => Promise<Outcome>>> = {
  types: () => runPackage("typescript/bin/tsc", "--noEmit", "-p", "."),
  lint: () => runPackage("@biomejs/biome/bin/biome", "ci", "--colors=off", "."),
  walls: () => runFindings(async () => checkWalls(await files, await listPackages())),
  tidy: () =>
    runFindings(async () => [...checkTidy(await files), ...checkRoot(await listTracked())]),
  lock: () =>
    runFindings(async () =>
      (await files)
        .filter(({ path }) => path === "package-lock.json")
        .flatMap(({ path, text }) => checkLock(path, text)),
    ),
  "dead code": () => runPackage("knip/bin/knip.js", "--no-progress"),
};

const outcomes = await Promise.all(
  Object.entries(checks).map(async ([name, check]) => {
    const { code, output } = await check();
    console.log(code === 0 ? `✔ ${name}` : `✖ ${name}\n${output.trimEnd()}\n`);
    return code;
  }),
);
process.exitCode = outcomes.every((code) => code === 0) ? 0 : 1;
