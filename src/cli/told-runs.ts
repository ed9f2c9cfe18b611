/**
 * Which ends of runs this user was told of: a box tells of its last run as long as it is up, and who
 * waited for it has heard that already.
 */

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import type { RunReport } from "../rpc/index.ts";
import { describeEarlier, isNotable } from "./run-report.ts";
import { stateDirectory } from "./user-folders.ts";

const fileName = "runs-told.json";
const runsMax = 200;
const fileShape = v.object({ runs: v.array(v.string()) });

/** Of a run that nobody has heard of: what it was, and the report. No lines where all is well. */
export async function describeUntold(report: RunReport | null): Promise<readonly string[]> {
  if (report === null || !isNotable(report) || (await readTold()).includes(report.run)) return [];
  return describeEarlier(report);
}

/** From now on nobody needs to be told. Where the state folder cannot be written, they are again. */
export async function rememberTold({ run }: Pick<RunReport, "run">): Promise<void> {
  writing = writing.then(() => add(run)).catch(() => {});
  await writing;
}

/** Several boxes at once come back at any time. */
let writing: Promise<void> = Promise.resolve();

async function add(run: string): Promise<void> {
  const told = await readTold();
  if (told.includes(run)) return;
  const runs = [...told, run].slice(-runsMax);
  const path = join(stateDirectory(), fileName);
  await mkdir(stateDirectory(), { recursive: true, mode: 0o700 });
  await writeFile(`${path}.${process.pid}`, `${JSON.stringify({ runs })}\n`, { mode: 0o600 });
  await rename(`${path}.${process.pid}`, path);
}

async function readTold(): Promise<readonly string[]> {
  try {
    const text = await readFile(join(stateDirectory(), fileName), "utf8");
    return v.parse(fileShape, JSON.parse(text)).runs;
  } catch {
    return [];
  }
}
