/** Shortcuts for tests: a controller connected to a fake target over a memory pipe. */

import { type ControllerOptions, connectControllerOver } from "../controller.ts";
import { type FakeOptions, FakeTarget } from "./fake-target.ts";
import { MemoryPipe } from "./memory-pipe.ts";

/** Name of the fake target's subsystem. */
export const subsystemNqn = "nqn.2026-11.org.example:disk";

/** A fake target and the pipe that leads to it. */
export function fake(options: FakeOptions = {}) {
  const target = new FakeTarget(options);
  return { target, pipe: new MemoryPipe(target.accept) };
}

/** Connects a controller to a new fake target. */
export async function open(behaviour: FakeOptions = {}, options: Partial<ControllerOptions> = {}) {
  const { target, pipe } = fake(behaviour);
  const all = { subsystemNqn, ...options };
  const controller = await connectControllerOver(pipe.dial, "fake", all);
  return { target, pipe, controller };
}

/** Lets microtasks run, and what they begin. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise<void>((done) => setImmediate(done));
}

/** Lets time pass in steps until `work` settles, at most `stepsMax` times. */
export async function withTime<T>(
  pipe: MemoryPipe,
  stepMs: number,
  work: Promise<T>,
  stepsMax = 200,
): Promise<T> {
  let isSettled = false;
  const watched = work.finally(() => {
    isSettled = true;
  });
  watched.catch(() => {});
  for (let step = 0; step < stepsMax && !isSettled; step++) {
    await settle();
    if (!isSettled) pipe.tick(stepMs);
  }
  return watched;
}

/** `length` bytes that differ from place to place. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from(
    { length },
    (_, index) => (index * 31 + seed * 17 + Math.floor(index / 256)) % 256,
  );
}
