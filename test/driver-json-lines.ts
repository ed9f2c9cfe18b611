/** JSON lines of a command as they come. */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

type Line = Readonly<Record<string, unknown>>;

/** They are read from now on. */
export function linesOf(child: ChildProcess) {
  const seen: Line[] = [];
  const waiting = new Set<() => void>();
  let errors = "";
  child.stderr?.on("data", (text) => {
    errors += text;
  });
  if (child.stdout === null) throw new Error("The command has no output.");
  createInterface({ input: child.stdout }).on("line", (line) => {
    // Without --json there are none.
    if (line.startsWith("{")) seen.push(JSON.parse(line));
    for (const look of [...waiting]) look();
  });
  const exitCode = once(child, "close").then(([code]) => code as number | null);
  return {
    exitCode,
    /** Waits until it has said so to people. */
    says: async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(errors) && child.stderr) await once(child.stderr, "data");
    },
    /** The next one that is so, in the order in which they came. */
    find: async (isIt: (line: Line) => boolean): Promise<Line> => {
      const found = new Promise<Line>((resolve) => {
        const look = () => {
          const at = seen.findIndex(isIt);
          if (at === -1) return;
          waiting.delete(look);
          const [line] = seen.splice(0, at + 1).slice(-1);
          if (line) resolve(line);
        };
        waiting.add(look);
        look();
      });
      const gone = exitCode.then((code) => {
        throw new Error(`It ended with ${code}: ${errors}`);
      });
      return await Promise.race([found, gone]);
    },
  };
}
