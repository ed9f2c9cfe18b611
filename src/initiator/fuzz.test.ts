import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BlockError } from "../block/index.ts";
import { type Controller, connectControllerOver, InitiatorError } from "./index.ts";
import { FakeTarget } from "./testing/fake-target.ts";
import { MemoryPipe } from "./testing/memory-pipe.ts";
import { pattern, settle, subsystemNqn } from "./testing/open.ts";

/** Mutated streams, and the first seed; `tools/fuzz.ts` asks for more than a test run does. */
const [numRuns = 400, seed = 20261123] = process.argv.slice(2).map(Number);

/** What may come of anything that a controller does. */
const codes: ReadonlySet<string> = new Set<InitiatorError["code"]>([
  "timeout",
  "protocol",
  "status",
  "unsupported",
  "no-namespace",
  "closed",
  "busy",
  "lost",
  "interrupted",
  "namespace-replaced",
  "volatile-writes-lost-possible",
]);

/** How a host is connected. */
interface WalkOptions {
  readonly hdgst?: boolean;
  readonly isLasting?: boolean;
}

/** Changes bytes that a target sends; `undefined` cuts the connection there. */
type Mutation = (bytes: Uint8Array, sentBytes: number) => Uint8Array | undefined;

/** A pipe to a fake target whose bytes are changed on their way to the host. */
function tampered(mutate: Mutation): { target: FakeTarget; pipe: MemoryPipe } {
  const target = new FakeTarget({ sizeBytes: 65536, maxh2cdata: 4096, c2hBytes: 3000 });
  let sentBytes = 0;
  const pipe = new MemoryPipe((near) => {
    const far = target.accept({
      send: (chunk) => {
        const changed = mutate(chunk, sentBytes);
        sentBytes += chunk.length;
        if (changed) near.send(changed);
        else near.cut();
      },
      cut: (cause) => near.cut(cause),
    });
    return {
      receive: (chunk) => {
        // The host answers what it was told, which is not always what the fake target said.
        try {
          far.receive(chunk);
        } catch {
          near.cut();
        }
      },
      ended: () => far.ended(),
    };
  });
  return { target, pipe };
}

/** A walk through everything that has an answer; returns how it ended. */
async function walk(pipe: MemoryPipe, options: WalkOptions = {}): Promise<unknown> {
  const { hdgst = true, isLasting = false } = options;
  const reconnect = isLasting ? { reconnect: { controllerLossMs: 30_000 } } : {};
  const all = { subsystemNqn, digests: { hdgst }, clock: pipe.clock, ...reconnect };
  let controller: Controller | undefined;
  let outcome: unknown;
  let isOver = false;
  const work = async () => {
    try {
      controller = await connectControllerOver(pipe.dial, "fake", all);
      await controller.namespaces();
      const disk = await controller.openNamespace(1);
      await disk.write(0, pattern(20480));
      const back = new Uint8Array(20480);
      await disk.read(0, back);
      await disk.writeZeroes(512, 1024);
      await disk.flush();
    } catch (error) {
      outcome = error;
    }
    isOver = true;
  };
  const working = work();
  for (let steps = 0; !isOver; steps++) {
    assert.ok(steps < 300, "it hangs");
    await settle();
    if (!isOver) pipe.tick(1000);
  }
  await working;
  const closing = controller?.close();
  for (let steps = 0; pipe.openCount > 0; steps++) {
    assert.ok(steps < 300, "a connection is left open");
    await settle();
    pipe.tick(1000);
  }
  await closing;
  return outcome;
}

function assertDeclared(outcome: unknown): void {
  if (outcome === undefined) return;
  const cause = outcome instanceof BlockError ? (outcome.cause ?? outcome) : outcome;
  const isDeclared =
    cause instanceof BlockError || (cause instanceof InitiatorError && codes.has(cause.code));
  assert.ok(isDeclared, outcome instanceof Error ? outcome.stack : String(outcome));
}

test("a host whose controller is cut off at any byte ends with a declared error", async () => {
  let total = 0;
  await walk(
    tampered((bytes) => {
      total += bytes.length;
      return bytes;
    }).pipe,
  );
  // Every byte of the handshakes and of each header; long runs of data at every 97th.
  const cuts = Array.from({ length: total }, (_, at) => at).filter(
    (at) => at < 600 || at % 97 === 0 || at > total - 300,
  );
  for (const cut of cuts) {
    const { pipe } = tampered((bytes, sentBytes) => {
      if (sentBytes >= cut) return undefined;
      return sentBytes + bytes.length <= cut ? bytes : bytes.subarray(0, cut - sentBytes);
    });
    assertDeclared(await walk(pipe));
  }
});

test("a host takes anything that a controller sends: it ends with a declared error or success", async () => {
  const change = fc.record({
    /** Which send is changed, and where in it. */
    send: fc.nat(60),
    at: fc.nat(200),
    kind: fc.constantFrom("flip", "set", "drop", "double", "insert", "cut", "swap"),
    value: fc.nat(255),
    length: fc.integer({ min: 1, max: 40 }),
  });
  const property = fc.asyncProperty(
    fc.array(change, { minLength: 1, maxLength: 3 }),
    fc.constantFrom(Number.POSITIVE_INFINITY, 1, 7, 100),
    fc.record({ hdgst: fc.boolean(), isLasting: fc.boolean() }),
    async (changes, pieceBytes, options) => {
      let sends = 0;
      const { pipe } = tampered((bytes) => {
        const mine = changes.filter(({ send }) => send === sends);
        sends += 1;
        let changed: Buffer | undefined = Buffer.from(bytes);
        for (const each of mine) changed = changed && mutated(changed, each);
        return changed;
      });
      pipe.pieceBytes = pieceBytes;
      assertDeclared(await walk(pipe, options));
    },
  );
  await fc.assert(property, { seed, numRuns });
});

function mutated(
  bytes: Buffer,
  { at, kind, value, length }: { at: number; kind: string; value: number; length: number },
): Buffer | undefined {
  const from = at % Math.max(bytes.length, 1);
  const copy = Buffer.from(bytes);
  const slice = bytes.subarray(from, from + length);
  switch (kind) {
    case "flip":
      copy[from]! ^= 2 ** (value % 8);
      return copy;
    case "set":
      copy.fill(value, from, from + 1);
      return copy;
    case "drop":
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)]);
    case "double":
      return Buffer.concat([bytes, bytes]);
    case "insert":
      return Buffer.concat([bytes.subarray(0, from), slice, bytes.subarray(from)]);
    case "swap":
      return Buffer.concat([bytes.subarray(from), bytes.subarray(0, from)]);
    default:
      return undefined;
  }
}
