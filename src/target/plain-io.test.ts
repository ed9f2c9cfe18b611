import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { command, decodeCommand, encodeCommand } from "../nvme/index.ts";
import { decodePlainIo, emptyPlainIo } from "./plain-io.ts";

test("decodePlainIo reads what decodeCommand reads, wherever the command lies", () => {
  const { control } = command("write");
  fc.assert(
    fc.property(
      fc.constantFrom("read" as const, "write" as const),
      fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }),
      fc.integer({ min: 1, max: 65536 }),
      fc.nat(0xffffffff),
      fc.nat(0xffffffff),
      fc.boolean(),
      fc.constantFrom("capsule" as const, "transport" as const),
      (name, slba, nlb, nsid, lengthBytes, fua, placement) => {
        const given = { nsid, slba, nlb, control: { ...control, fua } };
        const value = name === "read" ? command("read", given) : command("write", given);
        const raw = encodeCommand(value, 1, { placement, lengthBytes });
        const found = emptyPlainIo();
        const shifted = Buffer.concat([new Uint8Array(5), raw]);
        assert.ok(decodePlainIo(shifted, 5, found));
        const oracle = decodeCommand(raw, "io");
        assert.ok(oracle.ok && (oracle.command.name === "read" || oracle.command.name === "write"));
        assert.deepEqual(found, {
          opc: name === "read" ? 2 : 1,
          nsid: oracle.command.nsid,
          slba: Number(oracle.command.slba),
          nlb: oracle.command.nlb,
          isFua: oracle.command.control.fua,
          isInCapsule: oracle.data.placement === "capsule",
          sglBytes: oracle.data.lengthBytes,
        });
      },
    ),
    { seed: 20261123, numRuns: 500 },
  );
});

const special = [
  { name: "another opcode", at: 0, value: 9 },
  { name: "a fused command", at: 1, value: 0x41 },
  { name: "PRPs", at: 1, value: 0 },
  { name: "protection information", at: 51, value: 0x04 },
  { name: "a storage tag check", at: 51, value: 0x01 },
  { name: "a directive", at: 50, value: 0x10 },
  { name: "an SGL segment", at: 39, value: 0x20 },
];

for (const { name, at, value } of special) {
  test(`decodePlainIo leaves ${name} to the tables`, () => {
    const raw = encodeCommand(command("read", { nsid: 1 }), 1);
    assert.ok(decodePlainIo(raw, 0, emptyPlainIo()));
    raw[at] = value;
    assert.ok(!decodePlainIo(raw, 0, emptyPlainIo()));
  });
}
