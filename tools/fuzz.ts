/**
 * `npm run fuzz`: damaged streams of PDUs against the engines of target and host, many more than a
 * test run has time for.
 *
 * `node tools/fuzz.ts [STREAMS] [SEED]`: a million from seed 1 unless told, half of them for each
 * side, in slices that are processes of their own with little memory: growth ends them.
 */

import { availableParallelism } from "node:os";
import { runQuietly } from "./project.ts";

const sides = ["src/target/fuzz.test.ts", "src/initiator/fuzz.test.ts"];
const streamsPerSlice = 5000;
const heapMebibytes = 128;

interface Slice {
  readonly path: string;
  readonly streams: number;
  readonly seed: number;
}

const [streams = 1_000_000, firstSeed = 1] = process.argv.slice(2).map(Number);
if (!(streams > 0) || !Number.isInteger(firstSeed)) {
  console.error("usage: node tools/fuzz.ts [STREAMS] [SEED]");
  process.exit(2);
}

const slices = listSlices();
let next = 0;
let done = 0;
let failures = 0;

await Promise.all(Array.from({ length: availableParallelism() }, runSlices));
console.log(`\n${done} streams, ${failures} slices failed.`);
process.exitCode = failures === 0 && done > 0 ? 0 : 1;

/** Slices of both sides in turns. */
function listSlices(): readonly Slice[] {
  const each = Math.ceil(streams / sides.length);
  return Array.from({ length: Math.ceil(each / streamsPerSlice) }, (_, index) =>
    sides.map((path) => ({
      path,
      streams: Math.min(streamsPerSlice, each - index * streamsPerSlice),
      seed: firstSeed + index,
    })),
  ).flat();
}

/** Takes slices until there are none left, or one has failed. */
async function runSlices(): Promise<void> {
  while (next < slices.length && failures === 0) {
    const slice = slices[next++]!;
    const args = [slice.path, `${slice.streams}`, `${slice.seed}`];
    const limit = `--max-old-space-size=${heapMebibytes}`;
    const { code, output } = await runQuietly(process.execPath, [limit, ...args]);
    if (code === 0) {
      done += slice.streams;
      console.log(`${args.join(" ")}: ok; ${done} of ${streams}`);
    } else {
      failures += 1;
      console.error(`${output}\nAgain: node ${args.join(" ")}`);
    }
  }
}
