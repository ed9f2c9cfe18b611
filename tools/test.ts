/**
 * `npm test`, `npm run test:unit`, `npm run test:full`: node's test runner over the right files.
 *
 * Arguments that begin with `-` go to the runner; others choose the files whose path has them.
 *
 * Emulated machines that run beside each other starve now and then. Up to two files that start such
 * machines, and failed, are run once more, each by itself; there the second run counts. The last line
 * says how many there were. A file that starts none has no such excuse.
 */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { listMachineTests } from "./machines.ts";
import { findFiles, readFiles, runOpenly } from "./project.ts";

interface Suite {
  readonly title: string;
  readonly patterns: readonly string[];
  /** Files that run at the same time. */
  readonly concurrency: number;
  /** How many files with machines get a second run, by themselves, when nothing else failed. */
  readonly secondRunsMax: number;
}

/** What hangs is a failure; the longest file takes a third of this, alone. */
const fileTimeoutMs = 30 * 60_000;
/** A reporter beside the one that is read. */
const failedFiles = new URL("./failed-files.ts", import.meta.url).href;

const unit: Suite = {
  title: "Unit tests",
  patterns: ["src/**/*.test.ts", "tools/**/*.test.ts"],
  concurrency: availableParallelism(),
  secondRunsMax: 0,
};
/** An emulated machine keeps one processor busy; more than two at a time would be slow, and large. */
const machines = Math.min(2, availableParallelism());
const boots: Suite = {
  title: "Boots",
  patterns: ["test/*.test.ts"],
  concurrency: machines,
  secondRunsMax: 2,
};
const full: Suite = { ...boots, title: "Long matrices", patterns: ["test/full/*.test.ts"] };

const commands: Readonly<Record<string, readonly Suite[]>> = {
  test: [unit, boots],
  "test:unit": [unit],
  "test:full": [full],
};

async function runSuite(suite: Suite, args: readonly string[]): Promise<number | undefined> {
  const words = args.filter((arg) => !arg.startsWith("-"));
  const options = args.filter((arg) => arg.startsWith("-"));
  const files = (await findFiles(suite.patterns)).filter(
    (file) => words.length === 0 || words.some((word) => file.includes(word)),
  );
  if (files.length === 0) return undefined;
  console.log(`\n${suite.title}: ${files.length} files`);
  const { code, failed } = await runFiles(files, suite.concurrency, options);
  if (code === 0 || files.length === 1 || failed.length === 0) return code;
  if (failed.length > suite.secondRunsMax) return code;
  const machineTests = listMachineTests(await readFiles(await findFiles(["test/**/*.ts"])));
  return failed.every((file) => machineTests.has(file)) ? runAgain(failed, options) : code;
}

/** @returns the runner's exit code, and the files in which something failed. */
async function runFiles(
  files: readonly string[],
  concurrency: number,
  options: readonly string[],
): Promise<{ readonly code: number; readonly failed: readonly string[] }> {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-test-"));
  try {
    const list = join(folder, "failed");
    const reporters = ["spec", "stdout", failedFiles, list].map((word, index) =>
      index % 2 === 0 ? `--test-reporter=${word}` : `--test-reporter-destination=${word}`,
    );
    const limits = [`--test-concurrency=${concurrency}`, `--test-timeout=${fileTimeoutMs}`];
    const runner = ["--test", ...limits, ...reporters];
    const code = await runOpenly(process.execPath, [...runner, ...options, ...files]);
    const failed = (await readFile(list, "utf8")).split("\n").filter((file) => file !== "");
    return { code, failed };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function runAgain(files: readonly string[], options: readonly string[]): Promise<number> {
  const codes: number[] = [];
  for (const file of files) {
    ranAgain.push(file);
    console.log(`\n${file} failed beside another file; again, by itself:`);
    const { code } = await runFiles([file], 1, options);
    console.log(`${file} ${code === 0 ? "passed" : "failed again"} by itself.`);
    codes.push(code);
  }
  return codes.every((code) => code === 0) ? 0 : 1;
}

const [command = "", ...args] = process.argv.slice(2);
const suites = commands[command];
if (suites === undefined) {
  console.error(`usage: node tools/test.ts ${Object.keys(commands).join("|")} [WORD|-OPTION...]`);
  process.exit(2);
}

const ranAgain: string[] = [];
const codes: number[] = [];
for (const suite of suites) {
  const code = await runSuite(suite, args);
  if (code !== undefined) codes.push(code);
}
if (codes.length === 0) console.error("No test file fits. A run that tests nothing has failed.");
if (suites.some(({ secondRunsMax }) => secondRunsMax > 0)) {
  const names = ranAgain.length === 0 ? "" : ` (${ranAgain.join(", ")})`;
  console.log(`\nSecond runs: ${ranAgain.length}${names}`);
}
process.exitCode = codes.length > 0 && codes.every((code) => code === 0) ? 0 : 1;
