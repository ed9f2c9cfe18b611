/** The power goes while a box's disk is flashed and run: two cuts of those that `bench` makes. */

import { after, before, test } from "node:test";
import { PowerCuts } from "../driver-power-cuts.ts";
import { RunBox } from "../driver-run-box.ts";

let box: RunBox;
let cuts: PowerCuts;
before(async () => {
  box = await RunBox.start();
  cuts = await PowerCuts.prepare(box, 20261123);
});
after(() => box?.[Symbol.asyncDispose]());

for (const kind of ["flash", "run"] as const) {
  test(`a power cut in ${kind}: no half image boots, the box is back, ${kind} completes`, async () => {
    await cuts.cut(kind);
  });
}
