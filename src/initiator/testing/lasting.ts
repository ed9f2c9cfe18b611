/** A disk on a controller that reconnects, for tests: with its target, its pipe, its events. */

import { type ControllerOptions, connectControllerOver } from "../controller.ts";
import type { ControllerEvent } from "../controller-event.ts";
import type { FakeOptions } from "./fake-target.ts";
import { fake, settle, subsystemNqn } from "./open.ts";

/** Opens namespace 1 of a new fake target, on a controller that reconnects. */
export async function openLasting(
  behaviour: FakeOptions = {},
  options: Partial<ControllerOptions> = {},
) {
  const { target, pipe } = fake(behaviour);
  const reconnect = { firstDelayMs: 100, delayMsMax: 1000, jitter: 0, controllerLossMs: 10_000 };
  const all = { subsystemNqn, reconnect, clock: pipe.clock, ...options };
  const controller = await connectControllerOver(pipe.dial, "fake", all);
  const events: ControllerEvent[] = [];
  controller.onEvent((event) => events.push(event));
  const disk = await controller.openNamespace(1);
  /** Lets time pass in steps of a tick. */
  const pass = async (durationMs: number) => {
    for (let leftMs = durationMs; leftMs > 0; leftMs -= 100) {
      await settle();
      pipe.tick(100);
    }
    await settle();
  };
  const types = () => events.splice(0).map(({ type }) => type);
  return { target, pipe, controller, disk, events, pass, types };
}
