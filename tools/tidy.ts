/**
 * What the walls do not see: sizes, doors, readmes, what lies at the root, and words that may not be
 * in the repository.
 */

import type { SourceFile } from "./source.ts";
import type { Finding } from "./walls.ts";

/** Most lines that a script may have. */
export const linesMax = 500;
/**
 * Most columns that a line of a comment may have. The formatter keeps code to 100 and lets comments be;
 * a word more does no harm.
 */
export const commentColumnsMax = 108;

interface BannedText {
  readonly pattern: RegExp;
  readonly why: string;
  /** Files that must speak of it. */
  readonly exempt?: RegExp;
}

/** Written so that this file does not match itself. */
const banned: readonly BannedText[] = [
  {
    pattern:
      /\b(?:deb|ftp|security|snapshot|archive|cdn|httpredir|ports)[\w.-]*\.(?:debian|ubuntu)\.\w+/,
    why: "names a package mirror's host; take it from the host's configuration",
  },
  {
    pattern: /\bregistry\.(?:npmjs|yarnpkg)\.\w+/,
    why: "names a package registry's host; take it from npm's configuration",
  },
  {
    pattern: /(?<![\w.~-])\/(?:work|home\/\w+|root)\/\w/,
    why: "names a path of one machine",
    // Test data may hold any path.
    exempt: /\.test\.ts$|\.md$/,
  },
  {
    pattern: /\b(?:TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b/,
    why: "is unfinished; finish it or open an issue",
  },
  { pattern: /@ts-(?:ignor[e]|nochec[k]|expect-erro[r])/, why: "mutes the type checker" },
  { pattern: /\bbiome-ignor[e]/, why: "mutes the linter" },
  {
    pattern: /\b(?:test|it|suite|describe)\.(?:onl[y]|ski[p]|tod[o])\(/,
    why: "mutes a test; a missing prerequisite is told with t.skip(reason) or fails",
  },
];

/** What git may know at the root: settings, the licence, documents, and files of tools. */
const rootFile = /^(?:\.[a-z]+|LICENSE|[A-Z]+\.md|[a-z.-]+\.json)$/;
const comment = /^\s*(?:\/\/|\/?\*)/;
const script = /\.[cm]?[jt]s$/;
const textFile = /\.(?:[cm]?[jt]s|json|md|sh|yml|service|html|css)$|^\.ci\/run$/;
const lockFile = /(?:^|[/.-])lock\.json$/;

/** Checks every file. Paths are relative to the root. */
export function checkTidy(files: readonly SourceFile[]): Finding[] {
  return [...files.flatMap(checkFile), ...checkParts(files.map(({ path }) => path))];
}

function checkFile({ path, text }: SourceFile): Finding[] {
  if (!textFile.test(path) || lockFile.test(path)) return [];
  const lines = text.split("\n");
  const findings: Finding[] = [];
  if (script.test(path) && lines.length - 1 > linesMax) {
    findings.push({ path, message: `Has ${lines.length - 1} lines; ${linesMax} is the most.` });
  }
  const wide = lines.find((line) => line.length > commentColumnsMax && comment.test(line));
  if (script.test(path) && wide !== undefined) {
    const message = `A comment has more than ${commentColumnsMax} columns: ${wide.trim()}`;
    findings.push({ path, message });
  }
  for (const { pattern, why, exempt } of banned) {
    if (exempt?.test(path)) continue;
    const line = lines.find((candidate) => pattern.test(candidate));
    if (line !== undefined)
      findings.push({ path, message: `${why}: ${line.trim().slice(0, 120)}` });
  }
  return findings;
}

/** Checks the paths that git knows: what a program has left at the root is no part of the project. */
export function checkRoot(paths: readonly string[]): Finding[] {
  return paths
    .filter((path) => !path.includes("/") && !rootFile.test(path))
    .map((path) => ({
      path,
      message: "This kind of file does not belong at the root. Move it, or remove it from git.",
    }));
}

/** Each part has a door and a readme. */
function checkParts(paths: readonly string[]): Finding[] {
  const known = new Set(paths);
  const folders = new Set(paths.flatMap((path) => /^(src\/[^/]+)\//.exec(path)?.[1] ?? []));
  // Nobody may import the command line, so it needs no door.
  const isDoorless = (folder: string) => folder === "src/cli";
  return [...folders].flatMap((folder) => [
    ...(known.has(`${folder}/README.md`) ? [] : [{ path: folder, message: "Has no README.md." }]),
    ...(known.has(`${folder}/index.ts`) || isDoorless(folder)
      ? []
      : [{ path: folder, message: "Has no index.ts." }]),
  ]);
}
