/** A reporter of node's test runner: the files in which a test failed, one to a line. */

import { relative } from "node:path";
import type { TestEvent } from "node:test/reporters";
import { root } from "./project.ts";

/** Each file once, relative to the root, as soon as something in it fails. */
export default async function* failedFiles(
  events: AsyncIterable<TestEvent>,
): AsyncGenerator<string> {
  const seen = new Set<string>();
  for await (const event of events) {
    if (event.type !== "test:fail") continue;
    const file = relative(root, event.data.file ?? event.data.name);
    if (seen.has(file)) continue;
    seen.add(file);
    yield `${file}\n`;
  }
}
