import assert from "node:assert/strict";
import { test } from "node:test";
import {
  asyncEventConfiguration,
  decodeAsyncEvent,
  dword,
  dwordOf,
  encodeAsyncEvent,
  errorRecovery,
  featureCapabilities,
  hostIdentifier,
  hostIdentifierSize,
  keepAliveTimer,
  namespaceWriteProtect,
  reservationMask,
  reservationPersistence,
  timestamp,
  timestampOrigin,
  volatileWriteCache,
  writeProtectState,
} from "./index.ts";

// Bits of NVM Express Base 2.0 §5.27, as dwords.
const dwords = [
  {
    name: "error recovery: 500 ms, DULBE",
    raw: errorRecovery.encode({ tler: 5, behavior: { dulbe: true } }),
    want: 0x00010005,
  },
  {
    name: "volatile write cache on",
    raw: volatileWriteCache.encode({ bits: { wce: true } }),
    want: 1,
  },
  { name: "keep alive of 15 s", raw: keepAliveTimer.encode({ kato: 15_000 }), want: 15_000 },
  {
    name: "host identifier of 16 bytes",
    raw: hostIdentifierSize.encode({ bits: { exhid: true } }),
    want: 1,
  },
  {
    name: "reservation mask",
    raw: reservationMask.encode({ bits: { regpre: true, resrel: false, respre: true } }),
    want: 0x0a,
  },
  {
    name: "reservation persistence",
    raw: reservationPersistence.encode({ bits: { ptpl: true } }),
    want: 1,
  },
  {
    name: "write protect until power cycle",
    raw: namespaceWriteProtect.encode({ bits: { wps: writeProtectState.untilPowerCycle } }),
    want: 2,
  },
  {
    name: "a feature per namespace that can be changed",
    raw: featureCapabilities.encode({
      bits: { saveable: false, namespaceSpecific: true, changeable: true },
    }),
    want: 6,
  },
];

test("features have their bits where Base 2.0 has them", () => {
  for (const { name, raw, want } of dwords) assert.equal(dwordOf(raw), want, name);
});

test("asyncEventConfiguration has the two notices that Linux asks for", () => {
  // NVME_AEN_CFG_NS_ATTR, NVME_AEN_CFG_ANA_CHANGE and NVME_AEN_CFG_DISC_CHANGE.
  const { bits } = asyncEventConfiguration.decode(dword(0x80000900));
  assert.deepEqual(
    [bits.namespaceAttribute, bits.ana, bits.discoveryLog, bits.smart],
    [true, true, true, 0],
  );
});

test("timestamp holds 48 bits of milliseconds and their origin", () => {
  const value = { low: 0x04030201, high: 0x0605, attributes: { synch: false, origin: 1 } };
  const hex = "0102030405060200";
  assert.equal(value.attributes.origin, timestampOrigin.set);
  assert.equal(Buffer.from(timestamp.encode(value)).toString("hex"), hex);
  assert.deepEqual(timestamp.decode(Buffer.from(hex, "hex")), value);
});

test("hostIdentifier is 16 bytes", () => {
  assert.equal(hostIdentifier.encode({ hostid: new Uint8Array(16) }).length, 16);
});

// What the Linux target reports, from drivers/nvme/target/core.c: type, info and log page.
const events = [
  { name: "namespaceAttribute", dw0: 0x00040002 },
  { name: "ana", dw0: 0x000c0302 },
  { name: "discoveryLog", dw0: 0x0070f002 },
  { name: "reservation", dw0: 0x00800006 },
  { name: "transientInternalError", dw0: 0x00010400 },
  { name: "temperature", dw0: 0x00020101 },
] as const;

test("asynchronous events are written and read alike", () => {
  for (const { name, dw0 } of events) {
    assert.equal(encodeAsyncEvent(name), dw0, name);
    assert.equal(decodeAsyncEvent(dw0).name, name);
    assert.equal(decodeAsyncEvent(dw0).lid, Math.floor(dw0 / 0x10000));
  }
  assert.deepEqual(decodeAsyncEvent(0x00990907), { name: "unknown", lid: 0x99 });
});
