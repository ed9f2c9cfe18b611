import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  appendCapsuleCmd,
  appendData,
  type Framing,
  initialFraming,
  PduStream,
} from "../nvme/index.ts";
import { slackBytes } from "./pool.ts";
import { Receiver } from "./receiver.ts";
import { pattern } from "./testing/host.ts";

const sqe = pattern(64);
const plain = { hdgst: false, ddgst: false, alignmentBytes: 4 };
const header = { cccid: 7, ttag: 3, datao: 0, last: false };

function framingOf(hdgst: boolean, ddgst: boolean): Framing {
  return { ...initialFraming, hdgst, ddgst, capsuleDataBytesMax: 8192, dataBytesMax: 2 ** 20 };
}

/** What a controller receives, as text; data of a PDU is joined. */
function record(framing: Framing, chunks: readonly Uint8Array[], lands = false) {
  const events: string[] = [];
  let memory = new Uint8Array(0);
  let data: Buffer = Buffer.alloc(0);
  let length = 0;
  /** Data of a PDU, with what a buffer has beyond it. */
  const begin = (dataLength: number) => {
    length = dataLength;
    memory = new Uint8Array(dataLength + slackBytes);
    data = Buffer.from(memory.buffer, 0, dataLength);
  };
  const receiver = new Receiver({
    icReq: () => undefined,
    termReq: () => events.push("term"),
    capsule: (bytes, at, dataLength) => {
      events.push(`capsule ${Buffer.from(bytes.subarray(at, at + 64)).toString("hex")}`);
      begin(dataLength);
      return undefined;
    },
    hostData: ({ cccid, ttag, datao, dataLength, last }) => {
      events.push(`data ${[cccid, ttag, datao, last]}`);
      begin(dataLength);
      return undefined;
    },
    data: (bytes, from, to, offset) => data.set(bytes.subarray(from, to), offset),
    place: (offset) => (lands ? memory.subarray(offset) : undefined),
    end: (matches) => {
      events.push(`end ${matches} ${length} ${data.toString("hex")}`);
      // It is given away, and somebody else writes to it.
      memory.fill(0xdd);
      return undefined;
    },
  });
  receiver.framing = framing;
  let reason: string | undefined;
  for (let chunk of chunks) {
    while (chunk.length > 0 && reason === undefined) {
      const place = receiver.landing();
      if (place) {
        const count = Math.min(place.length, chunk.length);
        place.set(chunk.subarray(0, count));
        reason = receiver.landed(count)?.reason;
        chunk = chunk.subarray(count);
      } else {
        // A driver reads no more than what it has memory for.
        const part = lands ? chunk.subarray(0, 100) : chunk;
        reason = receiver.push(part)?.reason;
        chunk = chunk.subarray(part.length);
      }
    }
  }
  return { events, reason };
}

/** The same by PduStream, the oracle. */
function oracle(framing: Framing, bytes: Uint8Array) {
  const stream = new PduStream("controller", {
    header: () => undefined,
    data: () => {},
    end: () => undefined,
  });
  stream.framing = framing;
  return stream.push(bytes)?.reason;
}

function stream(hdgst: boolean, ddgst: boolean): Uint8Array {
  const framing = { ...plain, hdgst, ddgst };
  const out: Uint8Array[] = [];
  appendCapsuleCmd(out, framing, sqe);
  appendCapsuleCmd(out, framing, sqe, pattern(48));
  appendData(out, framing, "H2CData", header, pattern(90_000));
  appendData(out, framing, "H2CData", { ...header, datao: 90_000 }, pattern(40_000));
  appendData(out, framing, "H2CData", { ...header, datao: 130_000, last: true }, pattern(3));
  appendCapsuleCmd(out, framing, sqe);
  return Buffer.concat(out);
}

for (const [hdgst, ddgst] of [
  [false, false],
  [true, false],
  [false, true],
  [true, true],
] as const) {
  test(`Receiver gives the same however bytes are cut: digests ${hdgst}, ${ddgst}`, () => {
    const bytes = stream(hdgst, ddgst);
    const framing = framingOf(hdgst, ddgst);
    const whole = record(framing, [bytes]);
    assert.equal(whole.reason, undefined);
    assert.equal(whole.events.length, 10);
    const cuts = Array.from({ length: 400 }, (_, n) => n).concat([
      90_100,
      90_250,
      130_300,
      bytes.length - 1,
    ]);
    for (const cut of cuts) {
      assert.deepEqual(record(framing, [bytes.subarray(0, cut), bytes.subarray(cut)]), whole);
    }
    for (const step of [1, 7, 71, 1000]) {
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += step) pieces.push(bytes.subarray(at, at + step));
      assert.deepEqual(record(framing, pieces), whole, `pieces of ${step}`);
    }
    assert.deepEqual(record(framing, [bytes], true), whole, "data that lands");
  });
}

test("Receiver refuses what PduStream refuses, for the same reason", () => {
  const bytes = stream(false, false).subarray(0, 400);
  const framing = framingOf(false, false);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(399), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
      fc.integer({ min: 1, max: 400 }),
      (edits, cut) => {
        const mutated = Uint8Array.from(bytes);
        for (const [at, value] of edits) mutated[at] = value;
        const found = record(framing, [mutated.subarray(0, cut), mutated.subarray(cut)]);
        // An ICReq or TermReq in mid-stream is for the connection to judge.
        assert.equal(found.reason, oracle(framing, mutated));
      },
    ),
    { seed: 20261123, numRuns: 1000 },
  );
});
