/** More ways in which an image does not arrive whole. */

import { after, before, test } from "node:test";
import { boot } from "../driver-box.ts";
import { assertClosed, Incomplete, report } from "../driver-incomplete.ts";

let image: Incomplete;

before(async () => {
  image = await Incomplete.build();
});

after(() => image?.[Symbol.asyncDispose]());

test("an image that ends within Node.js is reported, and exports nothing", async () => {
  const box = await image.startCut("node", 1_000_000);
  await box.waitForSerial(report, boot);
  await assertClosed(box);
});

test("memory that the firmware cannot load the image into is reported by the boot loader", async () => {
  const box = await image.startWhole(448);
  await box.waitForSerial(/Error starting kernel image: Out of resources/, boot);
  await assertClosed(box);
});
