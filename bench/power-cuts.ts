/**
 * Power that goes at random points of `flash` (of what differs) and of `run`: QEMU is killed, the disk
 * looked at from outside, the machine switched on again, and the same command has to complete.
 *
 * `npm run bench power-cuts [LAST] [from=N] [seed=N] [minutes=N]`: from the first cut of the seed to
 * the fiftieth unless told; none is made after so many minutes. Fails at the first disk that would
 * boot half an image, the first box that does not come back, and the first command that does not
 * complete.
 *
 * A flush that is missing it cannot find: `src/vm/disk.ts` sets `no-flush`, and all that QEMU wrote
 * before it was killed is in the cache of its host, which keeps its power. `CuttableDisk`
 * finds it, which loses what was not flushed: `src/flash/power-cut.test.ts`.
 */

import { PowerCuts } from "../test/driver-power-cuts.ts";
import { RunBox } from "../test/driver-run-box.ts";
import { describeMachine } from "./machine.ts";

const words = process.argv.slice(2);
const last = Number(words.find((word) => /^\d+$/.test(word)) ?? 50);
const from = numberOf("from") ?? 1;
const seed = numberOf("seed") ?? 20261123;
const lateMs = performance.now() + (numberOf("minutes") ?? 600) * 60_000;
/** Of so many cuts one is in `run`, whose rerun takes two boots more. */
const runEvery = 3;

await using box = await RunBox.start();
console.log(`${describeMachine()}, ${box.vm.accelerator}, seed ${seed}`);
const cuts = await PowerCuts.prepare(box, seed, from - 1);
const found = new Map<string, number>();
let done = from - 1;
while (done < last && performance.now() < lateMs) {
  done += 1;
  const { kind, during, disk, backSeconds } = await cuts.cut(
    done % runEvery === 0 ? "run" : "flash",
  );
  console.log(
    `cut ${done}: ${kind} after "${during}"; disk: ${disk}; back after ${backSeconds.toFixed(0)} s`,
  );
  found.set(`${kind}, ${disk}`, (found.get(`${kind}, ${disk}`) ?? 0) + 1);
}
const states = [...found].map(([state, times]) => `${times} × ${state}`).join("; ");
console.log(`cuts ${from} to ${done}: ${states}. Every box came back, every command completed.`);

function numberOf(name: string): number | undefined {
  const word = words.find((one) => one.startsWith(`${name}=`));
  return word === undefined ? undefined : Number(word.slice(name.length + 1));
}
