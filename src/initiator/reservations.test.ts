import assert from "node:assert/strict";
import { test } from "node:test";
import { readReservation } from "./reservations.ts";
import { open } from "./testing/open.ts";

test("readReservation asks no controller that knows no reservations", async () => {
  const { controller, target } = await open();
  assert.equal(await readReservation(controller, 1), undefined);
  assert.ok(!target.seen.includes("reservationReport"));
  await controller.close();
});
