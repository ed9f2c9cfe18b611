import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c } from "../bytes/index.ts";
import {
  appendCapsuleCmd,
  appendCapsuleResp,
  appendData,
  appendR2t,
  capsuleCmd,
  capsuleResp,
  dataPdu,
  encodeIcReq,
  encodeIcResp,
  encodeTermReq,
  initialFraming,
  type Pdu,
  PduStream,
  type Role,
  r2t,
  type SendFraming,
} from "./index.ts";

const plain: SendFraming = { hdgst: false, ddgst: false, alignmentBytes: 4 };
const sqe = Uint8Array.from({ length: 64 }, (_, index) => index);
const sqeHex = Buffer.from(sqe).toString("hex");
const cqe = { dw0: 0x04030201, dw1: 5, sqhd: 6, sqid: 7, cid: 0x0908, status: 0x8004 };
const cqeHex = "01020304050000000600070008090480";

function collect(append: (out: Uint8Array[]) => void): Uint8Array {
  const out: Uint8Array[] = [];
  append(out);
  return Buffer.concat(out);
}

/** Decodes one stream to PDUs and the data of all of them. */
function decode(role: Role, bytes: Uint8Array, framing = initialFraming) {
  const pdus: Pdu[] = [];
  const data: number[] = [];
  const digests: boolean[] = [];
  const stream = new PduStream(role, {
    header: (pdu) => {
      pdus.push(pdu.type === "CapsuleCmd" ? { ...pdu, sqe: Uint8Array.from(pdu.sqe) } : pdu);
      return undefined;
    },
    data: (slice) => {
      data.push(...slice);
    },
    end: (digestMatches) => {
      digests.push(digestMatches);
      return undefined;
    },
  });
  stream.framing = { ...framing, capsuleDataBytesMax: 8192 };
  const fault = stream.push(bytes);
  return { pdus, data, digests, fault, stream };
}

// Figures of NVM Express TCP Transport 1.0; the bytes are laid out by hand from struct nvme_tcp_*
// of the Linux kernel's include/linux/nvme-tcp.h.
const vectors: { name: string; role: Role; value: Pdu; raw: Uint8Array; hex: string }[] = [
  {
    name: "ICReq (figure 16)",
    role: "controller",
    value: { type: "ICReq", pfv: 0, hpda: 4, dgst: { hdgst: true, ddgst: true }, maxr2t: 1 },
    raw: encodeIcReq({ pfv: 0, hpda: 4, dgst: { hdgst: true, ddgst: true }, maxr2t: 1 }),
    hex: "000080008000000000000003".padEnd(256, "0"),
  },
  {
    name: "ICResp (figure 17)",
    role: "host",
    value: {
      type: "ICResp",
      pfv: 0,
      cpda: 128,
      dgst: { hdgst: true, ddgst: false },
      maxh2cdata: 0x400000,
    },
    raw: encodeIcResp({
      pfv: 0,
      cpda: 128,
      dgst: { hdgst: true, ddgst: false },
      maxh2cdata: 0x400000,
    }),
    hex: "010080008000000000001f0100004000".padEnd(256, "0"),
  },
  {
    name: "CapsuleCmd without data (figure 21)",
    role: "controller",
    value: { type: "CapsuleCmd", sqe, dataLength: 0 },
    raw: collect((out) => appendCapsuleCmd(out, plain, sqe)),
    hex: `0400480048000000${sqeHex}`,
  },
  {
    name: "CapsuleCmd with 4 bytes of data",
    role: "controller",
    value: { type: "CapsuleCmd", sqe, dataLength: 4 },
    raw: collect((out) => appendCapsuleCmd(out, plain, sqe, Uint8Array.of(1, 2, 3, 4))),
    hex: `040048484c000000${sqeHex}01020304`,
  },
  {
    name: "CapsuleResp (figure 22)",
    role: "host",
    value: { type: "CapsuleResp", cqe },
    raw: collect((out) => appendCapsuleResp(out, plain, cqe)),
    hex: `0500180018000000${cqeHex}`,
  },
  {
    name: "C2HData, last, success (figure 24)",
    role: "host",
    value: {
      type: "C2HData",
      cccid: 0x0201,
      ttag: 0,
      datao: 0x1000,
      dataLength: 2,
      last: true,
      success: true,
    },
    raw: collect((out) => {
      const header = { cccid: 0x0201, ttag: 0, datao: 0x1000, last: true, success: true };
      appendData(out, plain, "C2HData", header, Uint8Array.of(0xaa, 0xbb));
    }),
    hex: "070c18181a00000001020000001000000200000000000000aabb",
  },
  {
    name: "H2CData, not last (figure 23)",
    role: "controller",
    value: {
      type: "H2CData",
      cccid: 1,
      ttag: 0x0403,
      datao: 0,
      dataLength: 1,
      last: false,
      success: false,
    },
    raw: collect((out) => {
      const header = { cccid: 1, ttag: 0x0403, datao: 0, last: false };
      appendData(out, plain, "H2CData", header, Uint8Array.of(0xcc));
    }),
    hex: "060018181900000001000304000000000100000000000000cc",
  },
  {
    name: "R2T (figure 25)",
    role: "host",
    value: { type: "R2T", cccid: 1, ttag: 2, r2to: 0x2000, r2tl: 0x1000 },
    raw: collect((out) => appendR2t(out, plain, { cccid: 1, ttag: 2, r2to: 0x2000, r2tl: 0x1000 })),
    hex: "090018001800000001000200002000000010000000000000",
  },
  {
    name: "C2HTermReq (figure 20)",
    role: "host",
    value: { type: "C2HTermReq", fes: 1, fei: 4, dataLength: 8 },
    raw: encodeTermReq("C2HTermReq", { fes: 1, fei: 4, header: new Uint8Array(8).fill(0xee) }),
    hex: `03001800200000000100040000000000${"00".repeat(8)}${"ee".repeat(8)}`,
  },
];

test("PDUs are written and read alike", () => {
  for (const { name, role, value, raw, hex } of vectors) {
    assert.equal(Buffer.from(raw).toString("hex"), hex, name);
    const { pdus, fault, stream } = decode(role, Buffer.from(hex, "hex"));
    assert.equal(fault, undefined, name);
    assert.deepEqual(pdus, [value], name);
    assert.ok(stream.isBetweenPdus);
  }
});

test("digests cover the header without padding and the data, little-endian", () => {
  const framing: SendFraming = { hdgst: true, ddgst: true, alignmentBytes: 32 };
  const data = Uint8Array.of(1, 2, 3);
  const header = { cccid: 1, ttag: 2, datao: 0, last: true };
  const raw = collect((out) => appendData(out, framing, "H2CData", header, data));
  assert.equal(raw.length, 32 + 3 + 4);
  assert.equal(Buffer.from(raw.subarray(0, 8)).toString("hex"), "0607182027000000");
  const view = new DataView(raw.buffer, raw.byteOffset);
  assert.equal(view.getUint32(24, true), crc32c(raw.subarray(0, 24)));
  assert.equal(view.getUint32(28, true), 0);
  assert.equal(view.getUint32(35, true), crc32c(data));
  const found = decode("controller", raw, { ...initialFraming, ...framing });
  assert.deepEqual(found.data, [1, 2, 3]);
  assert.deepEqual(found.digests, [true]);
});

test("a wrong data digest is told at the end, and the stream goes on", () => {
  const framing: SendFraming = { hdgst: false, ddgst: true, alignmentBytes: 4 };
  const header = { cccid: 1, ttag: 2, datao: 0, last: true };
  const raw = collect((out) => {
    appendData(out, framing, "C2HData", header, Uint8Array.of(1, 2, 3));
    appendCapsuleResp(out, framing, cqe);
  });
  raw[25]! += 1;
  const found = decode("host", raw, { ...initialFraming, ddgst: true });
  assert.deepEqual(found.digests, [false]);
  assert.equal(found.fault, undefined);
  assert.deepEqual(
    found.pdus.map(({ type }) => type),
    ["C2HData", "CapsuleResp"],
  );
});

test("the writers by hand agree with the declared layouts", () => {
  const data = Uint8Array.of(9);
  const header = { cccid: 0x1234, ttag: 0x5678, datao: 0x9abcdef0, last: true, success: true };
  const written = collect((out) => appendData(out, plain, "C2HData", header, data));
  const { cccid, ttag, datao, datal, ch } = dataPdu.decode(written);
  assert.deepEqual(
    { cccid, ttag, datao, datal },
    { cccid: 0x1234, ttag: 0x5678, datao: 0x9abcdef0, datal: 1 },
  );
  assert.deepEqual(ch.flags, { hdgstf: false, ddgstf: false, last: true, success: true });
  const response = capsuleResp.decode(collect((out) => appendCapsuleResp(out, plain, cqe)));
  assert.deepEqual(response.cqe, cqe);
  const ready = { cccid: 1, ttag: 2, r2to: 3, r2tl: 4 };
  assert.deepEqual(
    { ...r2t.decode(collect((out) => appendR2t(out, plain, ready))), ch: undefined },
    { ...ready, ch: undefined },
  );
  const capsule = capsuleCmd.decode(collect((out) => appendCapsuleCmd(out, plain, sqe)));
  assert.deepEqual(capsule.sqe, sqe);
});
