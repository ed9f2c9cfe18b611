import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeByLayout, encodeByLayout } from "./command.ts";
import {
  asyncEvent,
  authenticationProtocol,
  type Command,
  cap,
  cc,
  command,
  commands,
  connectData,
  connectResult,
  csts,
  type DataPointer,
  decodeCommand,
  decodeProperty,
  dword,
  encodeCommand,
  encodeProperty,
  fieldFault,
  fuse,
  noData,
  numberOfQueues,
  refusedParameter,
} from "./index.ts";

const capsule = (lengthBytes: number): DataPointer => ({ placement: "capsule", lengthBytes });
const transport = (lengthBytes: number): DataPointer => ({ placement: "transport", lengthBytes });

/** Dwords of an entry with its prefix: opcode, flags 40h, cid 1234h, then NSID to the SGL. */
function entry(opc: string, nsid: string, length: string, sgl: string, dwords: string): string {
  return `${opc}403412${nsid}${"00".repeat(24)}${length}000000${sgl}${dwords.padEnd(48, "0")}`;
}

// Laid out by hand from the structures of the Linux kernel's include/linux/nvme.h.
const vectors: {
  name: string;
  queue: "admin" | "io";
  value: Command;
  data: DataPointer;
  hex: string;
}[] = [
  {
    name: "connect to an I/O queue: struct nvmf_connect_command",
    queue: "io",
    value: command("connect", { qid: 3, sqsize: 128, kato: 0x01020304 }),
    data: capsule(1024),
    hex: entry("7f", "01000000", "00040000", "01", "000003007f00000004030201"),
  },
  {
    name: "property get of CAP: struct nvmf_property_get_command",
    queue: "admin",
    value: command("propertyGet", { attrib: { size: 1 }, ofst: 0 }),
    data: noData,
    hex: entry("7f", "04000000", "00000000", "5a", "01"),
  },
  {
    name: "property set of CC: struct nvmf_property_set_command",
    queue: "admin",
    value: command("propertySet", { ofst: 0x14, value: 0x460001n }),
    data: noData,
    hex: entry("7f", "00000000", "00000000", "5a", "00000000140000000100460000000000"),
  },
  {
    name: "identify: struct nvme_identify",
    queue: "admin",
    value: command("identify", { nsid: 1, cns: 3, cntid: 0x0201, csi: 2 }),
    data: transport(4096),
    hex: entry("06", "01000000", "00100000", "5a", "0300010200000002"),
  },
  {
    name: "get log page of 1024 bytes at 1024: struct nvme_get_log_page_command",
    queue: "admin",
    value: command("getLogPage", {
      nsid: 0xffffffff,
      lid: 0x70,
      specific: { lsp: 0, rae: true },
      numd: 0x10100,
      lpo: 0x400n,
    }),
    data: transport(0x40400),
    hex: entry("02", "ffffffff", "00040400", "5a", "7080ff00010000000004"),
  },
  {
    name: "set features, number of queues: struct nvme_features",
    queue: "admin",
    value: command("setFeatures", { fid: 7, cdw11: 0x00030003 }),
    data: noData,
    hex: entry("09", "00000000", "00000000", "5a", "0700000003000300"),
  },
  {
    name: "read of 8 blocks with FUA: struct nvme_rw_command",
    queue: "io",
    value: command("read", {
      nsid: 1,
      slba: 0x0102030405060708n,
      nlb: 8,
      control: { cetype: 0, dtype: 0, stc: false, prinfo: 0, fua: true, lr: false },
    }),
    data: transport(4096),
    hex: entry("02", "01000000", "00100000", "5a", "080706050403020107000040"),
  },
  {
    name: "write of 65536 blocks",
    queue: "io",
    value: command("write", { nsid: 2, slba: 1n, nlb: 65536, ilbrt: 0x0a0b0c0d, lbatm: 0x0102 }),
    data: transport(0x2000000),
    hex: entry(
      "01",
      "02000000",
      "00000002",
      "5a",
      "0100000000000000ffff0000000000000d0c0b0a00000201",
    ),
  },
  {
    name: "write zeroes with DEAC: struct nvme_write_zeroes_cmd",
    queue: "io",
    value: command("writeZeroes", {
      nsid: 1,
      slba: 16n,
      nlb: 1,
      control: { cetype: 0, nsz: false, stc: false, deac: true, prinfo: 0, fua: false, lr: false },
    }),
    data: noData,
    hex: entry("08", "01000000", "00000000", "5a", "100000000000000000000002"),
  },
  {
    name: "dataset management of two ranges: struct nvme_dsm_cmd",
    queue: "io",
    value: command("datasetManagement", {
      nsid: 1,
      nr: 2,
      attributes: { idr: false, idw: false, ad: true },
    }),
    data: capsule(32),
    hex: entry("09", "01000000", "20000000", "01", "0100000004"),
  },
  {
    name: "write zeroes of the whole namespace: NVM Command Set 1.1, NSZ in bit 23 of CDW12",
    queue: "io",
    value: command("writeZeroes", {
      nsid: 1,
      control: {
        cetype: 0,
        nsz: true,
        stc: false,
        deac: true,
        prinfo: 0,
        fua: false,
        lr: false,
      },
    }),
    data: noData,
    hex: entry("08", "01000000", "00000000", "5a", "000000000000000000008002"),
  },
  {
    name: "compare of 4 blocks",
    queue: "io",
    value: command("compare", { nsid: 1, slba: 2n, nlb: 4 }),
    data: capsule(2048),
    hex: entry("05", "01000000", "00080000", "01", "020000000000000003"),
  },
  {
    name: "verify of 65536 blocks",
    queue: "io",
    value: command("verify", { nsid: 1, nlb: 65536 }),
    data: noData,
    hex: entry("0c", "01000000", "00000000", "5a", "0000000000000000ffff"),
  },
  {
    name: "flush of all namespaces",
    queue: "io",
    value: command("flush", { nsid: 0xffffffff }),
    data: noData,
    hex: entry("00", "ffffffff", "00000000", "5a", ""),
  },
  {
    name: "reservation register: replace a key, ignore the old one, keep over loss of power",
    queue: "io",
    value: command("reservationRegister", {
      nsid: 1,
      action: { rrega: 2, iekey: true, cptpl: 3 },
    }),
    data: capsule(16),
    hex: entry("0d", "01000000", "10000000", "01", "0a0000c0"),
  },
  {
    name: "reservation report of 1024 dwords, extended",
    queue: "io",
    value: command("reservationReport", { nsid: 1, numd: 1024, structure: { eds: true } }),
    data: transport(4096),
    hex: entry("0e", "01000000", "00100000", "5a", "ff03000001000000"),
  },
  {
    name: "reservation acquire: preempt and abort, exclusive access",
    queue: "io",
    value: command("reservationAcquire", {
      nsid: 1,
      action: { racqa: 2, iekey: false },
      rtype: 2,
    }),
    data: capsule(16),
    hex: entry("11", "01000000", "10000000", "01", "0202"),
  },
  {
    name: "reservation release: clear",
    queue: "io",
    value: command("reservationRelease", {
      nsid: 1,
      action: { rrela: 1, iekey: false },
      rtype: 0,
    }),
    data: capsule(8),
    hex: entry("15", "01000000", "08000000", "01", "01"),
  },
  {
    name: "authentication send of 72 bytes: struct nvmf_auth_send_command",
    queue: "io",
    value: command("authenticationSend", { ...authenticationProtocol, length: 72 }),
    data: capsule(72),
    hex: entry("7f", "05000000", "48000000", "01", "000101e948000000"),
  },
  {
    name: "authentication receive of 4096 bytes",
    queue: "admin",
    value: command("authenticationReceive", { ...authenticationProtocol, length: 4096 }),
    data: transport(4096),
    hex: entry("7f", "06000000", "00100000", "5a", "000101e900100000"),
  },
  {
    name: "get features, supported capabilities",
    queue: "admin",
    value: command("getFeatures", { fid: 0x81, select: { sel: 3 }, cdw11: 1 }),
    data: noData,
    hex: entry("0a", "00000000", "00000000", "5a", "8103000001000000"),
  },
  {
    name: "disconnect",
    queue: "io",
    value: command("disconnect"),
    data: noData,
    hex: entry("7f", "08000000", "00000000", "5a", ""),
  },
  {
    name: "abort: struct nvme_abort_cmd",
    queue: "admin",
    value: command("abort", { sqid: 1, abortCid: 0x0203 }),
    data: noData,
    hex: entry("08", "00000000", "00000000", "5a", "01000302"),
  },
];

test("commands are written and read alike", () => {
  for (const { name, queue, value, data, hex } of vectors) {
    const raw = encodeCommand(value, 0x1234, data);
    assert.equal(Buffer.from(raw).toString("hex"), hex, name);
    const wanted = { ok: true, cid: 0x1234, command: value, data, fuse: 0 };
    assert.deepEqual(decodeCommand(raw, queue), wanted, name);
  }
});

test("fused commands say which of the pair they are", () => {
  for (const [which, byte] of [
    [fuse.none, 0x40],
    [fuse.first, 0x41],
    [fuse.second, 0x42],
  ] as const) {
    for (const value of [command("compare", { nsid: 1 }), command("write", { nsid: 1 })]) {
      const raw = encodeCommand(value, 7, capsule(512), which);
      assert.equal(raw[1], byte);
      const decoded = decodeCommand(raw, "io");
      assert.equal(decoded.ok && decoded.fuse, which);
    }
  }
});

/** Numbers of which the low and the high ends come often. */
const u8 = fc.oneof(fc.constantFrom(0, 0, 0, 1, 0x40, 0x41, 0x5a, 0x80, 0xc0), fc.nat(255));

test("decodeCommand of reads and writes agrees with the layouts, whatever the bytes", () => {
  const raws = fc.tuple(
    fc.constantFrom(1, 2, 2, 5),
    fc.constantFrom(0x40, 0x40, 0x40, 0x41, 0x43, 0x80),
    fc.array(u8, { minLength: 30, maxLength: 30 }),
    fc.constantFrom("0000000000000000", "0000000000000000", "0100000000000000"),
    fc.array(u8, { minLength: 7, maxLength: 7 }),
    fc.constantFrom(0x01, 0x5a, 0x5a, 0x00),
    fc.array(u8, { minLength: 10, maxLength: 10 }),
    fc.array(u8, { minLength: 2, maxLength: 2 }),
    fc.array(fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), {
      minLength: 12,
      maxLength: 12,
    }),
  );
  let taken = 0;
  const property = fc.property(raws, (parts) => {
    const [opc, flags, head, address, length, id, blocks, control, rest] = parts;
    const sgl = [...head.slice(0, 22), ...Buffer.from(address, "hex"), ...length, id];
    const raw = Uint8Array.from([opc, flags, ...sgl, ...blocks, ...control, ...rest]);
    assert.equal(raw.length, 64);
    const decoded = decodeCommand(raw, "io");
    assert.deepEqual(decoded, decodeByLayout(raw, "io"));
    if (decoded.ok) taken++;
  });
  fc.assert(property, { seed: 20261123, numRuns: 2000 });
  assert.ok(taken > 100, `only ${taken} were commands`);
});

test("fieldFault names the first field that such a controller cannot do, and where it is", () => {
  const plain = { cetype: 0, dtype: 0, stc: false, prinfo: 0, fua: true, lr: true };
  const cases = [
    { control: plain, want: undefined },
    { control: { ...plain, prinfo: 8 }, want: ["PRINFO", "invalidProtection", 51, 2] },
    { control: { ...plain, stc: true }, want: ["STC", "invalidField", 51, 0] },
    { control: { ...plain, dtype: 1 }, want: ["DTYPE", "invalidField", 50, 4] },
    { control: { ...plain, cetype: 1 }, want: ["CETYPE", "invalidField", 50, 0] },
  ];
  for (const { control, want } of cases) {
    for (const value of [
      command("read", { control }),
      command("write", { control }),
      command("compare", { control }),
      command("verify", { control }),
    ]) {
      const fault = fieldFault(value);
      assert.deepEqual(fault && [fault.field, fault.status, fault.byte, fault.bit], want);
    }
  }
  const zeroes = command("writeZeroes");
  assert.equal(fieldFault(zeroes), undefined);
  const fault = fieldFault({ ...zeroes, control: { ...zeroes.control, nsz: true } });
  assert.deepEqual([fault?.field, fault?.byte, fault?.bit], ["NSZ", 50, 7]);
  assert.equal(fieldFault(command("flush")), undefined);
});

test("encodeCommand of reads and writes agrees with the layouts", () => {
  const u16 = fc.integer({ min: 0, max: 0xffff });
  const u32 = fc.integer({ min: 0, max: 0xffffffff });
  const control = fc.record({
    cetype: fc.integer({ min: 0, max: 15 }),
    dtype: fc.integer({ min: 0, max: 15 }),
    stc: fc.boolean(),
    prinfo: fc.integer({ min: 0, max: 15 }),
    fua: fc.boolean(),
    lr: fc.boolean(),
  });
  const shared = {
    nsid: u32,
    slba: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    nlb: fc.integer({ min: 1, max: 65536 }),
    control,
    dsm: fc.integer({ min: 0, max: 255 }),
  };
  const read = fc.record({ ...shared, eilbrt: u32, elbat: u16, elbatm: u16 });
  const write = fc.record({ ...shared, dspec: u16, ilbrt: u32, lbat: u16, lbatm: u16 });
  const value: fc.Arbitrary<Command> = fc.oneof(
    read.map((fields) => command("read", fields)),
    write.map((fields) => command("write", fields)),
  );
  const data = fc.record({
    placement: fc.constantFrom("capsule" as const, "transport" as const),
    lengthBytes: u32,
  });
  const property = fc.property(value, u16, data, (made, cid, pointer) => {
    const raw = Buffer.from(encodeCommand(made, cid, pointer));
    assert.deepEqual(raw, Buffer.from(encodeByLayout(made, cid, pointer)));
  });
  fc.assert(property, { seed: 20261123, numRuns: 500 });
});

const malformed = [
  {
    name: "an admin opcode on an I/O queue",
    queue: "io",
    at: 0,
    byte: 0x06,
    want: "invalidOpcode",
  },
  { name: "an unknown fabrics type", queue: "io", at: 4, byte: 0x33, want: "invalidOpcode" },
  { name: "PRPs in place of an SGL", queue: "io", at: 1, byte: 0, want: "invalidField" },
  { name: "a keyed SGL", queue: "io", at: 39, byte: 0x40, want: "sglInvalidType" },
  { name: "FUSE of 11b", queue: "io", at: 1, byte: 0x43, want: "invalidField" },
  { name: "data that starts later", queue: "io", at: 24, byte: 1, want: "sglInvalidOffset" },
] as const;

test("decodeCommand answers what it does not take with the right status", () => {
  for (const { name, queue, at, byte, want } of malformed) {
    const raw = encodeCommand(command("connect"), 9, capsule(1024));
    raw[at] = byte;
    const decoded = decodeCommand(raw, queue);
    assert.equal(decoded.ok ? "taken" : decoded.status, want, name);
    assert.equal(decoded.cid, 9);
  }
});

const withoutData = [
  { name: "as Linux sends them", flags: 0x40, pointer: "0000000000000000000000000000005a" },
  { name: "with byte 1 cleared, as Base 2.2 has it", flags: 0, pointer: "00".repeat(16) },
  { name: "with byte 1 cleared and PRPs of chance", flags: 0, pointer: "77".repeat(16) },
  { name: "with an SGL that is zero", flags: 0x40, pointer: "00".repeat(16) },
] as const;

test("decodeCommand takes commands without data from hosts of all habits", () => {
  for (const { name, flags, pointer } of withoutData) {
    for (const value of [
      command("propertyGet", { ofst: 0x1c }),
      command("disconnect"),
      command("keepAlive"),
      command("flush", { nsid: 1 }),
    ]) {
      const raw = encodeCommand(value, 5);
      raw[1] = flags;
      raw.set(Buffer.from(pointer, "hex"), 24);
      const decoded = decodeCommand(raw, value.name === "flush" ? "io" : "admin");
      assert.deepEqual(decoded, { ok: true, cid: 5, command: value, data: noData, fuse: 0 }, name);
    }
  }
  const features = encodeCommand(command("getFeatures", { fid: 7 }), 5);
  features.fill(0, 24, 40);
  assert.ok(decodeCommand(features, "admin").ok, "a feature without data");
  const flush = encodeCommand(command("flush", { nsid: 1 }), 5, capsule(512));
  const decoded = decodeCommand(flush, "io");
  assert.deepEqual(decoded.ok && decoded.data, capsule(512), "data is not passed over in silence");
});

test("decodeCommand takes any 64 bytes without throwing", () => {
  const any = fc.uint8Array({ minLength: 64, maxLength: 64 });
  const property = fc.property(any, fc.constantFrom("admin", "io"), (raw, queue) => {
    const decoded = decodeCommand(raw, queue as "admin" | "io");
    if (decoded.ok) assert.ok(decoded.command.name in commands);
  });
  fc.assert(property, { seed: 20261123, numRuns: 1000 });
});

test("connectData is 1024 bytes with its names at 256 and 512", () => {
  const raw = connectData.encode({
    hostid: new Uint8Array(16).fill(0xab),
    cntlid: 0xffff,
    subnqn: "s",
    hostnqn: "h",
  });
  const hex = Buffer.from(raw).toString("hex");
  assert.equal(
    hex,
    `${"ab".repeat(16)}ffff${"00".repeat(238)}73${"00".repeat(255)}68`.padEnd(2048, "0"),
  );
});

test("connectResult reads CNTLID and who asks for authentication", () => {
  const { cntlid, authreq } = connectResult.decode(dword(0x00020007));
  assert.deepEqual([cntlid, authreq.atr, authreq.ascr], [7, true, false]);
});

test("refusedParameter names the field that Connect was refused for", () => {
  const completion = { dw1: 0, sqhd: 0, sqid: 0, cid: 0, status: 0 };
  assert.equal(refusedParameter({ ...completion, dw0: 0x00010100 }), "SUBNQN");
  assert.equal(refusedParameter({ ...completion, dw0: 44 }), "SQSIZE");
  assert.equal(refusedParameter({ ...completion, dw0: 0x00010003 }), "byte 3 of the data");
  assert.equal(refusedParameter({ ...completion, dw0: 47 }), "byte 47 of the command");
});

test("properties are read by their bits", () => {
  // What the Linux target reports: CQR, 128 entries, 7.5 s, command sets by CSI and NVM.
  const value = decodeProperty(cap, 0x0000082_00f01007fn);
  assert.deepEqual([value.mqes, value.queues.cqr, value.to], [128, true, 15]);
  assert.equal(value.features.css, 0x41);
  assert.equal(encodeProperty(cap, value), 0x0000082_00f01007fn);
  const { rdy, cfs, shst } = decodeProperty(csts, 0x9n).bits;
  assert.deepEqual([rdy, cfs, shst], [true, false, 2]);
  const bits = { en: true, css: 6, mps: 0, ams: 0, shn: 1, iosqes: 6, iocqes: 4, crime: false };
  assert.equal(encodeProperty(cc, { bits }), 0x464061n);
});

test("numberOfQueues and asyncEvent read a completion's DW0", () => {
  assert.deepEqual(numberOfQueues.decode(dword(0x00010003)), { nsq: 4, ncq: 2 });
  const event = asyncEvent.decode(dword(0x0004_0002));
  assert.deepEqual(event, { type: { aet: 2 }, info: 0, lid: 4 });
});
