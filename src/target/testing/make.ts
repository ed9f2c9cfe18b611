/** Shortcuts for tests: a target over a disk in memory. */

import { type BlockDevice, MemoryDisk } from "../../block/index.ts";
import type { SubsystemOptions } from "../subsystem.ts";
import { Target, type TargetOptions } from "../target.ts";
import type { TargetEvent } from "../transport.ts";
import { Clock, type HostOptions, TestHost } from "./host.ts";

/** Name of the test subsystem. */
export const subnqn = "nqn.2026-11.org.example:disk";
/** UUID of its namespace. */
export const uuid = "12345678-1234-4234-8234-123456789abc";

/** A target with one subsystem and one namespace, and a clock that stands still. */
export function makeTarget(
  device: BlockDevice = new MemoryDisk({ sizeBytes: 8 * 2 ** 20 }),
  subsystem: Partial<SubsystemOptions> = {},
  options: Partial<TargetOptions> = {},
) {
  const clock = new Clock();
  const events: [TargetEvent, Readonly<Record<string, unknown>>][] = [];
  let counter = 0;
  const target = new Target(
    {
      subsystems: [
        { nqn: subnqn, serial: "42", hosts: "any", namespaces: [{ device, uuid }], ...subsystem },
      ],
      log: (event, fields) => events.push([event, fields]),
      ...options,
    },
    {
      nowMs: () => clock.nowMs,
      random: (length) => new Uint8Array(length).fill(1 + (counter++ % 250)),
    },
  );
  return {
    target,
    clock,
    events,
    device,
    open: (host: Partial<HostOptions> = {}, ioQueues = 1) =>
      TestHost.open(target, clock, { subnqn, ...host }, ioQueues),
  };
}
