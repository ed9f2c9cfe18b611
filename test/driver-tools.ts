/** Programs of the system that tests judge our outputs by. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The environment with the folders in which administrators' programs lie. */
export const toolEnv: NodeJS.ProcessEnv = {
  ...process.env,
  LC_ALL: "C.UTF-8",
  PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
};

/** Whether all are installed; one that is missing skips the test by name, and fails it under CI. */
export async function has(t: TestContext, ...tools: readonly string[]): Promise<boolean> {
  for (const tool of tools) {
    try {
      await run("sh", ["-c", `command -v ${tool}`], { env: toolEnv });
    } catch {
      if (process.env.CI) assert.fail(`${tool} is not installed`);
      t.skip(`${tool} is not installed`);
      return false;
    }
  }
  return true;
}

/** Why a test is skipped that needs root; false where it is not, and under CI, where it fails. */
export function rootFault(what: string): string | false {
  return process.getuid?.() === 0 || process.env.CI ? false : `${what} needs root`;
}
