/**
 * `npm test`, `npm run test:unit`, `npm run test:full`: node's test runner over the right files.
 *
 * Arguments that begin with `-` go to the runner; others choose the files whose path has them.
 */

import { availableParallelism } from "node:os";
import { findFiles, runOpenly } from "./project.ts";

interface Suite {
  readonly title: string;
  readonly patterns: readonly string[];
  /** Files that run at the same time. */
  readonly concurrency: number;
}

const unit: Suite = {
  title: "Unit tests",
  patterns: ["src/**/*.test.ts", "tools/**/*.test.ts"],
  concurrency: availableParallelism(),
};
/** An emulated machine keeps one processor busy; more than two at a time would be slow, and large. */
const machines = Math.min(2, availableParallelism());
const boots: Suite = { title: "Boots", patterns: ["test/*.test.ts"], concurrency: machines };
const full: Suite = {
  title: "Long matrices",
  patterns: ["test/full/*.test.ts"],
  concurrency: machines,
};

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
  const runner = ["--test", "--test-reporter=spec", `--test-concurrency=${suite.concurrency}`];
  return runOpenly(process.execPath, [...runner, ...options, ...files]);
}

const [command = "", ...args] = process.argv.slice(2);
const suites = commands[command];
if (suites === undefined) {
  console.error(`usage: node tools/test.ts ${Object.keys(commands).join("|")} [WORD|-OPTION...]`);
  process.exit(2);
}

const codes: number[] = [];
for (const suite of suites) {
  const code = await runSuite(suite, args);
  if (code !== undefined) codes.push(code);
}
if (codes.length === 0) console.error("No test file fits. A run that tests nothing has failed.");
process.exitCode = codes.length > 0 && codes.every((code) => code === 0) ? 0 : 1;
