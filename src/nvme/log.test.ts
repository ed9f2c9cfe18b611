import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Layout } from "../bytes/index.ts";
import {
  type AnaLog,
  anaState,
  commandsSupportedLog,
  decodeAnaLog,
  discoveryLogEntry,
  discoveryLogHeader,
  encodeAnaLog,
  encodeCommandsSupported,
  encodeDiscoveryLog,
  encodeSupportedLogPages,
  errorLogEntry,
  firmwareSlotLog,
  logPage,
  noParameter,
  reservationNotification,
  sectype,
  secureChannel,
  smartLog,
  supportedLogPages,
  tcpAddressSubtype,
} from "./index.ts";

// Each table is `offsetof` of every member, printed by a C program on types.h of libnvme 1.3; the
// last two of errors are of Base 2.0 figure 206.
const offsets: readonly { format: Layout<never>; table: string }[] = [
  entry(
    errorLogEntry,
    `errorCount:0 sqid:8 cid:10 status:12 parameterError:14 lba:16 nsid:24 vs:28 trtype:29
     csi:30 opc:31 csinfo:32 ttsi:40`,
  ),
  entry(
    smartLog,
    `criticalWarning:0 temperature:1 availableSpare:3 availableSpareThreshold:4
     percentageUsed:5 enduranceGroupWarning:6 dataUnitsRead:32 dataUnitsWritten:48 hostReads:64
     hostWrites:80 controllerBusyTime:96 powerCycles:112 powerOnHours:128 unsafeShutdowns:144
     mediaErrors:160 errorLogEntries:176 warningTemperatureTime:192 criticalTemperatureTime:196
     temperatureSensors:200 tmt1Count:216 tmt2Count:220 tmt1Time:224 tmt2Time:228`,
  ),
  entry(firmwareSlotLog, "afi:0 frs:8"),
  entry(commandsSupportedLog, "acs:0 iocs:1024"),
  entry(reservationNotification, "lpc:0 type:8 nalp:9 nsid:12"),
];

function entry(format: { offsets: Layout<never>["offsets"] }, table: string) {
  return { format: format as Layout<never>, table };
}

test("log pages have every field where libnvme has it", () => {
  for (const { format, table } of offsets) {
    for (const pair of table.trim().split(/\s+/)) {
      const [name, offset] = pair.split(":") as [string, string];
      assert.equal(format.offsets[name], Number(offset), `${format.name}.${name}`);
    }
  }
});

const hexOf = (raw: Uint8Array) => Buffer.from(raw).toString("hex");

test("errorLogEntry is written and read alike", () => {
  const value = {
    errorCount: 0x0102n,
    sqid: 1,
    cid: 0x0203,
    status: 0x8004,
    parameterError: { byte: 40, bit: 3 },
    lba: 7n,
    nsid: 0xffffffff,
    vs: 0,
    trtype: 3,
    csi: 0,
    opc: 2,
    csinfo: 0n,
    ttsi: 0,
  };
  const hex =
    "0201000000000000" + // error count
    "0100030204802803" + // SQID, CID, status, parameter error location
    "0700000000000000" + // LBA
    "ffffffff00030002".padEnd(80, "0"); // NSID, vendor, transport, command set, opcode
  assert.equal(hexOf(errorLogEntry.encode(value)), hex);
  assert.deepEqual(errorLogEntry.decode(Buffer.from(hex, "hex")), value);
  const none = errorLogEntry.encode({ ...value, parameterError: noParameter });
  assert.equal(hexOf(none.subarray(14, 16)), "ff07");
});

test("smartLog counts in 128 bits and puts its temperature at byte 1", () => {
  const zero = smartLog.decode(new Uint8Array(512));
  const raw = smartLog.encode({ ...zero, temperature: 0x0140, dataUnitsWritten: 2n ** 64n + 5n });
  assert.equal(hexOf(raw.subarray(0, 4)), "00400100");
  assert.deepEqual([raw[48], raw[56]], [5, 1]);
  assert.equal(smartLog.decode(raw).dataUnitsWritten, 2n ** 64n + 5n);
});

test("firmwareSlotLog has the active slot in the low bits and revisions from byte 8 on", () => {
  const frs = ["1.0", "", "", "", "", "", ""];
  const raw = firmwareSlotLog.encode({ afi: { active: 1, next: 2 }, frs });
  assert.equal(hexOf(raw.subarray(0, 16)), "2100000000000000312e300000000000");
  assert.deepEqual(firmwareSlotLog.decode(raw).frs, frs);
});

test("encodeSupportedLogPages marks the pages that are there, and only those", () => {
  const raw = encodeSupportedLogPages([logPage.errorInformation, logPage.discovery]);
  const { lids } = supportedLogPages.decode(raw);
  const found = lids.flatMap(({ lsupp }, lid) => (lsupp ? [lid] : []));
  assert.deepEqual(found, [0x01, 0x70]);
  assert.equal(hexOf(raw.subarray(4, 8)), "01000000");
});

test("encodeCommandsSupported puts effects at the opcode, as Linux masks them", () => {
  const admin = new Map([[0x06, {}]]);
  // NVME_CMD_EFFECTS_LBCC is bit 1, CCC bit 4, CSE_MASK bits 16 to 18.
  const io = new Map([
    [0x01, { lbcc: true, cse: 1 }],
    [0x15, { ccc: true }],
  ]);
  const raw = encodeCommandsSupported(admin, io);
  assert.equal(hexOf(raw.subarray(24, 28)), "01000000");
  assert.equal(hexOf(raw.subarray(1024 + 4, 1024 + 8)), "03000100");
  assert.equal(hexOf(raw.subarray(1024 + 0x15 * 4, 1024 + 0x15 * 4 + 4)), "11000000");
  const { acs, iocs } = commandsSupportedLog.decode(raw);
  assert.equal([...acs, ...iocs].filter(({ csupp }) => csupp).length, 3);
});

const ana: AnaLog = {
  chgcnt: 3n,
  groups: [
    { anagrpid: 1, chgcnt: 2n, state: anaState.optimized, nsids: [1, 7] },
    { anagrpid: 2, chgcnt: 3n, state: anaState.change, nsids: [] },
  ],
};
const anaHex =
  "0300000000000000" + // CHGCNT
  "0200000000000000" + // NGRPS
  "0100000002000000" + // group 1, two namespaces
  "0200000000000000" +
  "01".padEnd(32, "0") +
  "0100000007000000" +
  "0200000000000000" + // group 2, none
  "0300000000000000" +
  "0f".padEnd(32, "0");

test("the ANA log is written and read as struct nvme_ana_group_desc lays it out", () => {
  assert.equal(hexOf(encodeAnaLog(ana)), anaHex);
  assert.deepEqual(decodeAnaLog(Buffer.from(`${anaHex}ffff`, "hex")), ana);
});

test("decodeAnaLog refuses a page cut anywhere, and takes any bytes without throwing", () => {
  const raw = Buffer.from(anaHex, "hex");
  for (let length = 0; length < raw.length; length++) {
    assert.equal(decodeAnaLog(raw.subarray(0, length)), undefined, `cut to ${length}`);
  }
  const property = fc.property(fc.nat(raw.length - 1), fc.nat(255), (at, byte) => {
    const changed = Buffer.from(raw);
    changed[at] = byte;
    const found = decodeAnaLog(changed);
    assert.ok(found === undefined || found.groups.length <= 2);
  });
  fc.assert(property, { seed: 20261123, numRuns: 2000 });
});

test("encodeDiscoveryLog puts entry n at 1024 (n + 1), and counts them", () => {
  const zero = discoveryLogEntry.decode(new Uint8Array(1024));
  const eflags = { dupretinfo: true, epcsd: true, ncc: false };
  const treq = { ...zero.treq, secureChannel: secureChannel.required };
  const tsas = tcpAddressSubtype.encode({ sectype: sectype.tls13 });
  const entries = [
    { ...zero, subnqn: "nqn.a", traddr: "192.0.2.1", trsvcid: "4420" },
    { ...zero, subnqn: "nqn.b", treq, tsas, eflags },
  ];
  const raw = encodeDiscoveryLog({ genctr: 9n, entries });
  assert.equal(raw.length, 3072);
  assert.deepEqual(discoveryLogHeader.decode(raw), { genctr: 9n, numrec: 2n, recfmt: 0 });
  entries.forEach((value, n) => {
    assert.deepEqual(discoveryLogEntry.decode(raw, 1024 * (n + 1)), value);
  });
  // TREQ 01b, EFLAGS DUPRETINFO (bit 0) and EPCSD (bit 1), SECTYPE 2.
  assert.deepEqual([raw[2048 + 3], raw[2048 + 10], raw[2048 + 768]], [1, 3, 2]);
});
