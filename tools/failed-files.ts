/** A reporter of node's test runner: the files in which a test failed, one to a line. */

import { relative, resolve } from "node:path";
import type { TestEvent } from "node:test/reporters";
import { root } from "./project.ts";

/**
 * Each file relative to the root, as soon as it has ended. A test that failed may have been made by
 * another file, such as a driver that several share: the summary tells which file was run. One that
 * ends before it has a summary fails as a test of its own, named by its path.
 */
export default async function* failedFiles(
  events: AsyncIterable<TestEvent>,
): AsyncGenerator<string> {
  for await (const event of events) {
    const file = failedFile(event);
    if (file !== undefined) yield `${relative(root, file)}\n`;
  }
}

function failedFile({ type, data }: TestEvent): string | undefined {
  if (type === "test:summary" && !data.success) return data.file;
  const isWhole = type === "test:fail" && data.file === resolve(data.name);
  return isWhole ? data.file : undefined;
}
