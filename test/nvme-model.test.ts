/**
 * Our host on our target over connections that are cut at any byte, beside a model of what the disk
 * may hold: every write that was acknowledged and flushed is there, whatever was lost in between.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { type BlockDevice, BlockError, MemoryDisk } from "../src/block/index.ts";
import { type ByteRange, connectController, InitiatorError } from "../src/initiator/index.ts";
import { createTarget, type RunningTarget } from "../src/target/index.ts";
import { Relay } from "./driver-relay.ts";

const unitBytes = 8192;
const units = 48;
const sizeBytes = units * unitBytes;
const subsystemNqn = "nqn.2026-11.org.example:disk";
const uuid = "12345678-1234-4234-8234-123456789abc";

/** A disk whose writes take a while, and are lost in a crash unless they were flushed. */
class VolatileDisk implements BlockDevice {
  readonly sizeBytes = sizeBytes;
  readonly blockSizeBytes = 512;
  readonly readOnly = false;
  #kept = Buffer.alloc(sizeBytes);
  #cached = Buffer.alloc(sizeBytes);
  #life = 0;

  /** What was not flushed is gone, and so is what is under way. */
  crash(): void {
    this.#life += 1;
    this.#cached = Buffer.from(this.#kept);
  }

  async read(offsetBytes: number, target: Uint8Array): Promise<void> {
    target.set(this.#cached.subarray(offsetBytes, offsetBytes + target.length));
  }

  async write(offsetBytes: number, data: Uint8Array): Promise<void> {
    const life = this.#life;
    await sleep((offsetBytes / unitBytes) % 3);
    if (life === this.#life) this.#cached.set(data, offsetBytes);
  }

  writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.write(offsetBytes, Buffer.alloc(lengthBytes));
  }

  async flush(): Promise<void> {
    const life = this.#life;
    const cached = Buffer.from(this.#cached);
    await sleep(1);
    if (life === this.#life) this.#kept = cached;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** What each unit of the disk may hold; a unit is written as a whole, with one byte all over. */
class Model {
  /** Values that nobody was told to be lost: one, unless a flush has told of them. */
  readonly #promised = Array.from({ length: units }, () => new Set([0]));
  /** Values that a crash may bring back, the promised one among them. */
  readonly #possible = Array.from({ length: units }, () => new Set([0]));
  /** Values that may be read now. */
  readonly #now = Array.from({ length: units }, () => new Set([0]));
  #crashes = 0;

  /** An operation is under way; what it returns is for `acknowledge`. */
  begin(at: number, count: number, value: number): number {
    for (let unit = at; unit < at + count; unit++) {
      this.#now[unit]!.add(value);
      this.#possible[unit]!.add(value);
    }
    return this.#crashes;
  }

  acknowledge(at: number, count: number, value: number, begun: number): void {
    for (let unit = at; unit < at + count; unit++) {
      this.#promised[unit] = new Set([value]);
      // The answer may have been on its way when the crash took back what it tells of.
      if (begun === this.#crashes) this.#now[unit] = new Set([value]);
    }
  }

  crash(): void {
    this.#crashes += 1;
    for (const [unit, possible] of this.#possible.entries()) this.#now[unit] = new Set(possible);
  }

  /** A flush has told that these ranges may be lost; everything else is safe. */
  flushed(lost: readonly ByteRange[]): void {
    for (let unit = 0; unit < units; unit++) {
      const start = unit * unitBytes;
      const isLost = lost.some(
        ({ offsetBytes, lengthBytes }) =>
          offsetBytes < start + unitBytes && start < offsetBytes + lengthBytes,
      );
      if (isLost) this.#promised[unit] = new Set(this.#now[unit]);
      else this.#now[unit] = new Set(this.#promised[unit]);
      this.#possible[unit] = new Set(this.#now[unit]);
    }
  }

  check(at: number, bytes: Uint8Array, what: string): void {
    for (let unit = at; unit * unitBytes < at * unitBytes + bytes.length; unit++) {
      const start = (unit - at) * unitBytes;
      const [value = 0] = bytes.subarray(start, start + 1);
      const now = this.#now[unit]!;
      assert.ok(now.has(value), `${what}: unit ${unit} is ${value}, not one of ${[...now]}`);
      const isWhole = bytes.subarray(start, start + unitBytes).every((byte) => byte === value);
      assert.ok(isWhole || now.size > 1, `${what}: unit ${unit} is torn`);
    }
  }
}

/** One operation; those of a step run at a time, each in its own third of the disk. */
const operation = fc.record({
  kind: fc.constantFrom("write" as const, "zero" as const, "read" as const),
  at: fc.nat(units / 3 - 9),
  count: fc.integer({ min: 1, max: 8 }),
  value: fc.integer({ min: 1, max: 255 }),
});
const step = fc.record({
  operations: fc.array(operation, { maxLength: 3 }),
  hasFlush: fc.boolean(),
  cut: fc.option(
    fc.record({ afterBytes: fc.integer({ min: 1, max: 150_000 }), isCrash: fc.boolean() }),
  ),
});

function serve(device: BlockDevice): { running: RunningTarget; port: Promise<number> } {
  const running = createTarget({
    subsystems: [{ nqn: subsystemNqn, serial: "1", hosts: "any", namespaces: [{ device, uuid }] }],
  });
  return { running, port: running.listen({ port: 0 }).then(({ port }) => port) };
}

/** Ranges that a flush says may be lost. */
async function flush(disk: BlockDevice): Promise<readonly ByteRange[]> {
  try {
    await disk.flush();
    return [];
  } catch (error) {
    assert.ok(error instanceof BlockError && error.cause instanceof InitiatorError);
    assert.equal(error.cause.code, "volatile-writes-lost-possible", error.message);
    return error.cause.facts.ranges as readonly ByteRange[];
  }
}

/** How often hosts came back, in all runs: a model check without cuts would show nothing. */
let reconnects = 0;

const digests = fc.record({ hdgst: fc.boolean(), ddgst: fc.boolean() });

async function run(
  steps: readonly (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[],
  options: { readonly hdgst: boolean; readonly ddgst: boolean },
): Promise<void> {
  const device = new VolatileDisk();
  const model = new Model();
  await using targets = new AsyncDisposableStack();
  const first = serve(device);
  targets.use(first.running);
  await using relay = await Relay.to(await first.port);
  await using controller = await connectController({
    host: "127.0.0.1",
    port: relay.port,
    subsystemNqn,
    ioQueues: 2,
    digests: options,
    reconnect: { firstDelayMs: 1, delayMsMax: 8 },
  });
  controller.onEvent(({ type }) => {
    if (type === "reconnected") reconnects += 1;
  });
  await using disk = await controller.openNamespace(1);
  let restarting: Promise<void> = Promise.resolve();
  const restart = async () => {
    const next = serve(device);
    targets.use(next.running);
    relay.targetPort = await next.port;
  };
  const crash = () => {
    device.crash();
    model.crash();
    restarting = restart();
  };
  for (const { operations, hasFlush, cut } of steps) {
    if (cut) relay.cutAfter(cut.afterBytes, cut.isCrash ? crash : () => {});
    await Promise.all(
      operations.map(async ({ kind, at, count, value }, third) => {
        const start = at + (third * units) / 3;
        const bytes = Buffer.alloc(count * unitBytes, value);
        if (kind === "read") {
          await disk.read(start * unitBytes, bytes);
          model.check(start, bytes, "read");
          return;
        }
        const written = kind === "zero" ? 0 : value;
        const begun = model.begin(start, count, written);
        if (kind === "zero") await disk.writeZeroes(start * unitBytes, bytes.length);
        else await disk.write(start * unitBytes, bytes);
        model.acknowledge(start, count, written, begun);
      }),
    );
    if (hasFlush) model.flushed(await flush(disk));
    await restarting;
  }
  relay.cutAfter(Number.POSITIVE_INFINITY, () => {});
  model.flushed(await flush(disk));
  device.crash();
  const found = Buffer.alloc(sizeBytes);
  await disk.read(0, found);
  model.check(0, found, "the end");
}

test("every write that was acknowledged and flushed is there, wherever connections were cut", async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 10 }), digests, run), {
    seed: 20261123,
    numRuns: 60,
  });
  assert.ok(reconnects > 60, `${reconnects} reconnects`);
});

test("the model finds a disk that forgets what it had flushed", async () => {
  const model = new Model();
  model.acknowledge(0, 1, 7, model.begin(0, 1, 7));
  model.flushed([]);
  const device = new MemoryDisk({ sizeBytes });
  const found = Buffer.alloc(unitBytes);
  await device.read(0, found);
  assert.throws(() => model.check(0, found, "the end"), /unit 0 is 0, not one of 7/);
});
