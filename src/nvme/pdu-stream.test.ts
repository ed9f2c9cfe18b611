import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  appendCapsuleCmd,
  appendCapsuleResp,
  appendData,
  appendR2t,
  encodeIcReq,
  encodeIcResp,
  encodeTermReq,
  type Framing,
  fes,
  initialFraming,
  PduStream,
  type Role,
  type SendFraming,
} from "./index.ts";

const cqe = { dw0: 0, dw1: 0, sqhd: 0, sqid: 0, cid: 1, status: 0 };
const sqe = new Uint8Array(64).fill(0x5a);
const digested: SendFraming = { hdgst: true, ddgst: true, alignmentBytes: 4 };
const plain: SendFraming = { hdgst: false, ddgst: false, alignmentBytes: 4 };

/** Writes down all that a stream hands over, with neighbouring data joined. */
function record(role: Role, framing: Framing, chunks: readonly Uint8Array[]) {
  const events: string[] = [];
  let data: number[] = [];
  let nextOffset = 0;
  const stream = new PduStream(role, {
    header: (pdu) => {
      events.push(JSON.stringify(pdu.type === "CapsuleCmd" ? { ...pdu, sqe: [...pdu.sqe] } : pdu));
      nextOffset = 0;
      return undefined;
    },
    data: (slice, offset) => {
      assert.equal(offset, nextOffset);
      nextOffset += slice.length;
      data.push(...slice);
    },
    end: (digestMatches) => {
      events.push(`data ${data.join()} ${digestMatches}`);
      data = [];
      return undefined;
    },
  });
  stream.framing = framing;
  for (const chunk of chunks) stream.push(chunk);
  return { events, fault: stream.push(new Uint8Array(0)), between: stream.isBetweenPdus };
}

const hostFraming: Framing = { ...initialFraming, hdgst: true, ddgst: true };
const controllerFraming: Framing = {
  ...initialFraming,
  hdgst: true,
  ddgst: true,
  alignmentBytes: 16,
  capsuleDataBytesMax: 64,
  dataBytesMax: 64,
};

function hostStream(): Uint8Array {
  const out: Uint8Array[] = [];
  appendCapsuleResp(out, digested, cqe);
  const header = { cccid: 1, ttag: 0, datao: 0, last: false };
  appendData(out, digested, "C2HData", header, Uint8Array.of(1, 2, 3, 4, 5));
  appendR2t(out, digested, { cccid: 2, ttag: 3, r2to: 0, r2tl: 512 });
  appendData(out, digested, "C2HData", { ...header, datao: 5, last: true }, Uint8Array.of(6));
  out.push(encodeTermReq("C2HTermReq", { fes: 2, fei: 0, header: new Uint8Array(9) }));
  return Buffer.concat(out);
}

function controllerStream(): Uint8Array {
  const out: Uint8Array[] = [];
  const framing = { ...digested, alignmentBytes: 16 };
  appendCapsuleCmd(out, framing, sqe);
  appendCapsuleCmd(out, framing, sqe, new Uint8Array(64).fill(7));
  const header = { cccid: 1, ttag: 0, datao: 0, last: true };
  appendData(out, framing, "H2CData", header, new Uint8Array(33).fill(8));
  return Buffer.concat(out);
}

test("PduStream gives the same PDUs however the bytes are cut", () => {
  const sides = [
    ["host", hostFraming, hostStream()],
    ["controller", controllerFraming, controllerStream()],
  ] as const;
  for (const [role, framing, bytes] of sides) {
    const whole = record(role, framing, [bytes]);
    assert.equal(whole.fault, undefined);
    assert.ok(whole.between);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const halves = [bytes.subarray(0, cut), bytes.subarray(cut)];
      assert.deepEqual(record(role, framing, halves), whole, `cut at ${cut}`);
    }
    for (const step of [1, 3, 7, 64]) {
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += step) pieces.push(bytes.subarray(at, at + step));
      assert.deepEqual(record(role, framing, pieces), whole, `pieces of ${step}`);
    }
  }
});

test("PduStream knows that it was cut within a PDU", () => {
  const bytes = hostStream();
  assert.ok(!record("host", hostFraming, [bytes.subarray(0, 5)]).between);
  assert.ok(!record("host", hostFraming, [bytes.subarray(0, 40)]).between);
});

function edited(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy.set(values, at);
  return copy;
}

function made(append: (out: Uint8Array[]) => void): Uint8Array {
  const out: Uint8Array[] = [];
  append(out);
  return Buffer.concat(out);
}

const response = made((out) => appendCapsuleResp(out, plain, cqe));
const responseWithDigest = made((out) => appendCapsuleResp(out, digested, cqe));
const dataHeader = { cccid: 1, ttag: 0, datao: 0, last: true };
const c2hData = made((out) => appendData(out, plain, "C2HData", dataHeader, new Uint8Array(8)));
const h2cData = made((out) => appendData(out, plain, "H2CData", dataHeader, new Uint8Array(65)));
const capsule = made((out) => appendCapsuleCmd(out, plain, sqe, new Uint8Array(8)));
const dgst = { hdgst: false, ddgst: false };
const icReq = encodeIcReq({ pfv: 0, hpda: 4, dgst, maxr2t: 1 });
const icResp = encodeIcResp({ pfv: 0, cpda: 4, dgst, maxh2cdata: 4096 });
const limited: Framing = { ...initialFraming, capsuleDataBytesMax: 8, dataBytesMax: 64 };
const withDigest: Framing = { ...initialFraming, hdgst: true };

const malformed: {
  name: string;
  role: Role;
  framing: Framing;
  bytes: Uint8Array;
  reason: string;
  fes: number;
  fei: number;
}[] = [
  {
    name: "an unknown type",
    role: "host",
    framing: initialFraming,
    bytes: edited(response, 0, 0x0a),
    reason: "type",
    fes: fes.invalidHeaderField,
    fei: 0,
  },
  {
    name: "a type of the other direction",
    role: "host",
    framing: initialFraming,
    bytes: icReq,
    reason: "type",
    fes: fes.invalidHeaderField,
    fei: 0,
  },
  {
    name: "a wrong header length",
    role: "host",
    framing: initialFraming,
    bytes: edited(response, 2, 25),
    reason: "hlen",
    fes: fes.invalidHeaderField,
    fei: 2,
  },
  {
    name: "a response longer than its header",
    role: "host",
    framing: initialFraming,
    bytes: edited(response, 4, 25),
    reason: "plen",
    fes: fes.invalidHeaderField,
    fei: 4,
  },
  {
    name: "a length below the header's",
    role: "host",
    framing: initialFraming,
    bytes: edited(response, 4, 23),
    reason: "plen",
    fes: fes.invalidHeaderField,
    fei: 4,
  },
  {
    name: "an ICResp that is too long",
    role: "host",
    framing: initialFraming,
    bytes: edited(icResp, 4, 129),
    reason: "plen",
    fes: fes.invalidHeaderField,
    fei: 4,
  },
  {
    name: "a termination request above 152 bytes",
    role: "host",
    framing: initialFraming,
    bytes: encodeTermReq("C2HTermReq", { fes: 1, fei: 0, header: new Uint8Array(129) }),
    reason: "plen",
    fes: fes.invalidHeaderField,
    fei: 4,
  },
  {
    name: "a header digest that does not match",
    role: "host",
    framing: withDigest,
    bytes: edited(responseWithDigest, 24, 1, 2, 3, 4),
    reason: "hdgst",
    fes: fes.headerDigest,
    fei: 0x04030201,
  },
  {
    name: "data before the end of the header",
    role: "host",
    framing: initialFraming,
    bytes: edited(c2hData, 3, 20),
    reason: "pdo",
    fes: fes.invalidHeaderField,
    fei: 3,
  },
  {
    name: "data that is not aligned",
    role: "host",
    framing: { ...initialFraming, alignmentBytes: 16 },
    bytes: c2hData,
    reason: "pdo",
    fes: fes.invalidHeaderField,
    fei: 3,
  },
  {
    name: "a PLEN that differs from PDO and DATAL",
    role: "host",
    framing: initialFraming,
    bytes: edited(c2hData, 16, 9),
    reason: "plen",
    fes: fes.invalidHeaderField,
    fei: 4,
  },
  {
    name: "data of no length",
    role: "host",
    framing: initialFraming,
    bytes: edited(c2hData, 16, 0),
    reason: "datal",
    fes: fes.invalidHeaderField,
    fei: 16,
  },
  {
    name: "a data digest that was not agreed on",
    role: "host",
    framing: initialFraming,
    bytes: edited(c2hData, 1, 6),
    reason: "flags",
    fes: fes.invalidHeaderField,
    fei: 1,
  },
  {
    name: "H2CData beyond MAXH2CDATA",
    role: "controller",
    framing: limited,
    bytes: h2cData,
    reason: "limit",
    fes: fes.limitExceeded,
    fei: 0,
  },
  {
    name: "in-capsule data where none is taken",
    role: "controller",
    framing: initialFraming,
    bytes: capsule,
    reason: "limit",
    fes: fes.limitExceeded,
    fei: 0,
  },
  {
    name: "a capsule whose data begins in its header",
    role: "controller",
    framing: limited,
    bytes: edited(edited(capsule, 3, 71), 4, 79),
    reason: "pdo",
    fes: fes.invalidHeaderField,
    fei: 3,
  },
];

test("PduStream names each fault, in one chunk and byte by byte, and stays failed", () => {
  for (const { name, role, framing, bytes, reason, fes: status, fei } of malformed) {
    const single = [...bytes].map((byte) => Uint8Array.of(byte));
    for (const chunks of [[bytes], single]) {
      const { fault } = record(role, framing, chunks);
      const found = fault && { reason: fault.reason, fes: fault.fes, fei: fault.fei };
      assert.deepEqual(found, { reason, fes: status, fei }, name);
      const quoted = fault!.header;
      assert.deepEqual(quoted, Uint8Array.from(bytes.subarray(0, quoted.length)), name);
      assert.ok(quoted.length >= 8, name);
      const request = encodeTermReq("H2CTermReq", fault!);
      assert.ok(request.length <= 152);
      assert.equal(record("controller", initialFraming, [request]).fault, undefined);
    }
  }
});

test("PduStream takes damaged streams without throwing, and reads what stayed whole", () => {
  const bytes = hostStream();
  const damage = fc.array(
    fc.tuple(fc.integer({ min: 0, max: bytes.length - 1 }), fc.integer({ min: 0, max: 255 })),
    { minLength: 1, maxLength: 4 },
  );
  const property = fc.property(damage, fc.integer({ min: 1, max: 40 }), (edits, step) => {
    const copy = Uint8Array.from(bytes);
    for (const [at, value] of edits) copy[at] = value;
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < copy.length; at += step) pieces.push(copy.subarray(at, at + step));
    assert.deepEqual(record("host", hostFraming, pieces), record("host", hostFraming, [copy]));
  });
  fc.assert(property, { seed: 20261123, numRuns: 1000 });
});

test("PduStream takes random bytes without throwing", () => {
  const role = fc.constantFrom("host" as const, "controller" as const);
  const property = fc.property(role, fc.uint8Array({ maxLength: 300 }), (side, raw) => {
    const { fault, events } = record(side, limited, [raw]);
    assert.ok(fault === undefined || events.length < 10);
  });
  fc.assert(property, { seed: 20261123, numRuns: 3000 });
});
