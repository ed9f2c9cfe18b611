/** A box whose image did not arrive whole: it says so, and does nothing else. */

import { after, before, test } from "node:test";
import { boot } from "./driver-box.ts";
import { assertClosed, Incomplete, report } from "./driver-incomplete.ts";

let image: Incomplete;

before(async () => {
  image = await Incomplete.build();
});

after(() => image?.[Symbol.asyncDispose]());

test("an image that ends before its settings is reported, and exports nothing", async () => {
  const box = await image.startCut("config", 0);
  await box.waitForSerial(report, boot);
  await assertClosed(box);
});
