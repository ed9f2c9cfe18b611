import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Layout } from "../bytes/index.ts";
import {
  activeFormat,
  decodeControllerList,
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  discoveryLogEntry,
  discoveryLogHeader,
  encodeControllerList,
  encodeNamespaceDescriptors,
  encodeNamespaceList,
  identifyCommandSets,
  identifyController,
  identifyControllerNvm,
  identifyNamespace,
  identifyNamespaceIndependent,
  identifyNamespaceNvm,
} from "./index.ts";

// Each table is `offsetof` of every member, printed by a C program on types.h of libnvme 1.3.
const controllerOffsets = `
  vid:0 ssvid:2 sn:4 mn:24 fr:64 rab:72 ieee:73 cmic:76 mdts:77 cntlid:78 ver:80 rtd3r:84
  rtd3e:88 oaes:92 ctratt:96 rrls:100 cntrltype:111 fguid:112 crdt1:128 crdt2:130 crdt3:132
  nvmsr:253 vwci:254 mec:255 oacs:256 acl:258 aerl:259 frmw:260 lpa:261 elpe:262 npss:263
  avscc:264 apsta:265 wctemp:266 cctemp:268 mtfa:270 hmpre:272 hmmin:276 tnvmcap:280
  unvmcap:296 rpmbs:312 edstt:316 dsto:318 fwug:319 kas:320 hctma:322 mntmt:324 mxtmt:326
  sanicap:328 hmminds:332 hmmaxd:336 nsetidmax:338 endgidmax:340 anatt:342 anacap:343
  anagrpmax:344 nanagrpid:348 pels:352 domainid:356 megcap:368 sqes:512 cqes:513 maxcmd:514
  nn:516 oncs:520 fuses:522 fna:524 vwc:525 awun:526 awupf:528 icsvscc:530 nwpc:531 acwu:532
  ocfs:534 sgls:536 mnan:540 maxdna:544 maxcna:560 subnqn:768 ioccsz:1792 iorcsz:1796
  icdoff:1800 fcatt:1802 msdbd:1803 ofcs:1804 dctype:1806 psd:2048 vs:3072
`;
const namespaceOffsets = `
  nsze:0 ncap:8 nuse:16 nsfeat:24 nlbaf:25 flbas:26 mc:27 dpc:28 dps:29 nmic:30 rescap:31
  fpi:32 dlfeat:33 nawun:34 nawupf:36 nacwu:38 nabsn:40 nabo:42 nabspf:44 noiob:46 nvmcap:48
  npwg:64 npwa:66 npdg:68 npda:70 nows:72 mssrl:74 mcl:76 msrc:80 anagrpid:92 nsattr:99
  nvmsetid:100 endgid:102 nguid:104 eui64:120 lbaf:128
`;
const discoveryOffsets = `
  trtype:0 adrfam:1 subtype:2 treq:3 portid:4 cntlid:6 asqsz:8 eflags:10 trsvcid:32
  subnqn:256 traddr:512 tsas:768
`;

function checkOffsets(format: Layout<unknown>, table: string) {
  for (const entry of table.trim().split(/\s+/)) {
    const [name, offset] = entry.split(":") as [string, string];
    assert.equal(format.offsets[name], Number(offset), `${format.name}.${name}`);
  }
}

test("identifyController has every field where libnvme has it", () => {
  checkOffsets(identifyController, controllerOffsets);
  assert.equal(identifyController.size, 4096);
});

test("identifyNamespace has every field where libnvme has it", () => {
  checkOffsets(identifyNamespace, namespaceOffsets);
  assert.equal(identifyNamespace.size, 4096);
});

test("discoveryLogEntry has every field where libnvme has it", () => {
  checkOffsets(discoveryLogEntry, discoveryOffsets);
  assert.equal(discoveryLogEntry.size, 1024);
  assert.equal(discoveryLogHeader.offsets.recfmt, 16);
});

test("identify data of command sets has every field where libnvme has it", () => {
  checkOffsets(identifyNamespaceNvm, "lbstm:0 pic:8 elbaf:12");
  checkOffsets(identifyControllerNvm, "vsl:0 wzsl:1 wusl:2 dmrl:3 dmrsl:4 dmsl:8");
  checkOffsets(
    identifyNamespaceIndependent,
    "nsfeat:0 nmic:1 rescap:2 fpi:3 anagrpid:4 nsattr:8 nvmsetid:10 endgid:12 nstat:14",
  );
  assert.equal(identifyCommandSets.encode({ vectors: new Array(512).fill(1n) }).length, 4096);
});

// Bits as NVME_CTRL_*, NVME_NS_* and struct nvme_id_ctrl of the Linux kernel's nvme.h have them.
const controllerBits = [
  { name: "OACS security, namespace management", at: 256, hex: "0900" },
  { name: "FRMW: slot 1 read only, one slot", at: 260, hex: "03" },
  { name: "LPA: effects, extended data", at: 261, hex: "06" },
  { name: "ANACAP as the Linux target reports it", at: 343, hex: "1f" },
  { name: "ONCS: DSM, write zeroes, reservations, verify", at: 520, hex: "ac00" },
  { name: "FUSES: compare and write", at: 522, hex: "0100" },
  { name: "VWC present, flush of all namespaces", at: 525, hex: "07" },
  { name: "NWPC: write protect", at: 531, hex: "01" },
  { name: "SGLS: support, offset in capsules, transport data blocks", at: 536, hex: "01003000" },
];

test("identifyController has its bits where the kernel has them", () => {
  const zero = identifyController.decode(new Uint8Array(4096));
  const raw = identifyController.encode({
    ...zero,
    sn: "",
    mn: "",
    fr: "",
    oacs: { ...zero.oacs, security: true, namespaceManagement: true },
    frmw: { ...zero.frmw, slot1ReadOnly: true, slots: 1 },
    lpa: { ...zero.lpa, effects: true, extended: true },
    anacap: {
      ...zero.anacap,
      optimized: true,
      nonOptimized: true,
      inaccessible: true,
      persistentLoss: true,
      change: true,
    },
    oncs: {
      ...zero.oncs,
      datasetManagement: true,
      writeZeroes: true,
      reservations: true,
      verify: true,
    },
    fuses: { compareAndWrite: true },
    vwc: { present: true, flushBehavior: 3 },
    nwpc: { ...zero.nwpc, writeProtect: true },
    sgls: { support: 1, keyed: false },
    sglsMore: { ...zero.sglsMore, inCapsuleOffset: true, transportDataBlock: true },
  });
  for (const { name, at, hex } of controllerBits) {
    const found = Buffer.from(raw.subarray(at, at + hex.length / 2)).toString("hex");
    assert.equal(found, hex, name);
  }
});

test("identifyNamespace has its preferred sizes 0's based, its bits where the kernel has them", () => {
  const zero = identifyNamespace.decode(new Uint8Array(4096));
  assert.deepEqual([zero.npwg, zero.nows], [1, 1]);
  const raw = identifyNamespace.encode({
    ...zero,
    npwg: 8,
    npwa: 8,
    npdg: 16,
    npda: 16,
    nows: 256,
    rescap: { ...zero.rescap, persistThroughPowerLoss: true, ignoreExistingKey: true },
  });
  assert.equal(Buffer.from(raw.subarray(64, 74)).toString("hex"), "070007000f000f00ff00");
  assert.equal(raw[31], 0x81);
});

test("decodeControllerList is the inverse of encodeControllerList, and refuses false counts", () => {
  const raw = encodeControllerList([1, 0xffef]);
  assert.equal(Buffer.from(raw.subarray(0, 8)).toString("hex"), "02000100efff0000");
  assert.deepEqual(decodeControllerList(raw), [1, 0xffef]);
  const full = Array.from({ length: 2047 }, (_, index) => index + 1);
  assert.deepEqual(decodeControllerList(encodeControllerList(full)), full);
  raw[1] = 8;
  assert.equal(decodeControllerList(raw), undefined);
});

test("identifyController converts 0's based limits and pads its strings", () => {
  const raw = new Uint8Array(4096);
  const value = identifyController.decode(raw);
  assert.deepEqual([value.acl, value.aerl, value.elpe, value.npss], [1, 1, 1, 1]);
  const strings = { sn: "S1", mn: "M", fr: "1" };
  const wire = identifyController.encode({ ...value, ...strings, aerl: 4, tnvmcap: 3n << 64n });
  assert.equal(wire[259], 3);
  assert.equal(Buffer.from(wire.subarray(4, 24)).toString("latin1"), "S1".padEnd(20));
  assert.equal(wire[288], 3);
  assert.equal(identifyController.decode(wire).tnvmcap, 3n << 64n);
});

test("activeFormat takes the format's number from both parts of FLBAS", () => {
  const zero = identifyNamespace.decode(new Uint8Array(4096));
  const lbaf = zero.lbaf.map((format, index) => ({ ...format, lbads: index }));
  for (const index of [0, 5, 17, 63]) {
    const flbas = { formatLow: index % 16, extended: false, formatHigh: Math.floor(index / 16) };
    const wire = identifyNamespace.encode({ ...zero, lbaf, flbas });
    assert.equal(activeFormat(identifyNamespace.decode(wire))?.lbads, index);
  }
});

test("decodeNamespaceList ends at the first zero, or is full", () => {
  assert.deepEqual(decodeNamespaceList(new Uint8Array(4096)), []);
  assert.deepEqual(
    decodeNamespaceList(encodeNamespaceList([1, 7, 0xfffffffe])),
    [1, 7, 0xfffffffe],
  );
  const full = Array.from({ length: 1024 }, (_, index) => index + 1);
  assert.deepEqual(decodeNamespaceList(encodeNamespaceList(full)), full);
});

const identity = {
  uuid: "00112233-4455-6677-8899-aabbccddeeff",
  nguid: "0102030405060708090a0b0c0d0e0f10",
  eui64: "1112131415161718",
  csi: 2,
};
const identityHex =
  "0310000000112233445566778899aabbccddeeff" +
  "021000000102030405060708090a0b0c0d0e0f10" +
  "010800001112131415161718" +
  "0401000002";

test("namespace descriptors are written and read as Base 2.0 figure 277 lays them out", () => {
  const raw = encodeNamespaceDescriptors(identity);
  assert.equal(Buffer.from(raw).toString("hex"), identityHex.padEnd(8192, "0"));
  assert.deepEqual(decodeNamespaceDescriptors(raw), identity);
  assert.deepEqual(decodeNamespaceDescriptors(new Uint8Array(4096)), {});
});

const descriptorCases = [
  { name: "an unknown type is passed over", hex: "630200aaabcd0401000001", want: { csi: 1 } },
  {
    name: "an EUI64 of zeros is none",
    hex: `01080000${"0".repeat(16)}04010000${"00"}`,
    want: { csi: 0 },
  },
  {
    name: "an NGUID of zeros is none",
    hex: `02100000${"0".repeat(32)}04010000${"00"}`,
    want: { csi: 0 },
  },
  {
    name: "a UUID of zeros is none",
    hex: `03100000${"0".repeat(32)}04010000${"00"}`,
    want: { csi: 0 },
  },
  { name: "a UUID of 15 bytes", hex: "030f0000".padEnd(40, "0"), want: undefined },
  { name: "a length that runs over the end", hex: "6320000000", want: undefined },
];

test("decodeNamespaceDescriptors refuses what cannot be", () => {
  for (const { name, hex, want } of descriptorCases) {
    assert.deepEqual(decodeNamespaceDescriptors(Buffer.from(hex, "hex")), want, name);
  }
});

test("decodeNamespaceDescriptors takes any bytes without throwing", () => {
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), (raw) => {
    const found = decodeNamespaceDescriptors(raw);
    assert.ok(found === undefined || typeof found === "object");
  });
  fc.assert(property, { seed: 20261123, numRuns: 2000 });
});
