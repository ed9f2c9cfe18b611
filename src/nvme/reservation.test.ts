import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeReservationStatus,
  encodeReservationStatus,
  type ReservationStatus,
  registeredController,
  reservationAcquireData,
  reservationRegisterData,
  reservationReleaseData,
  reservationStatusHeader,
  reservationType,
} from "./index.ts";

const hexOf = (raw: Uint8Array) => Buffer.from(raw).toString("hex");

// Offsets of struct nvme_resv_status and nvme_registered_ctrl_ext in types.h of libnvme 1.3.
const status: ReservationStatus = {
  gen: 0x01020304,
  rtype: reservationType.exclusiveAccess,
  ptpls: 1,
  registrants: [
    {
      cntlid: 0x0506,
      rcsts: { holder: true },
      rkey: 0x1122334455667788n,
      hostid: new Uint8Array(16).fill(0xab),
    },
    { cntlid: 0xffff, rcsts: { holder: false }, rkey: 1n, hostid: new Uint8Array(16).fill(0xcd) },
  ],
};
// GEN at 0, RTYPE at 4, REGCTL at 5, PTPLS at 9; registrants from 64 on.
const hex =
  `${"04030201"}${"02"}${"0200"}${"0000"}${"01"}`.padEnd(128, "0") +
  `0605010000000000${"8877665544332211"}${"ab".repeat(16)}`.padEnd(128, "0") +
  `ffff000000000000${"0100000000000000"}${"cd".repeat(16)}`.padEnd(128, "0");

test("the extended reservation status is written and read alike", () => {
  assert.equal(hexOf(encodeReservationStatus(status)), hex);
  assert.deepEqual(decodeReservationStatus(Buffer.from(`${hex}00`, "hex")), status);
});

test("decodeReservationStatus refuses a structure cut anywhere", () => {
  const raw = encodeReservationStatus(status);
  for (let length = 0; length < raw.length; length++) {
    assert.equal(decodeReservationStatus(raw.subarray(0, length)), undefined, `${length}`);
  }
});

test("the data of reservation commands are keys, little-endian", () => {
  const register = reservationRegisterData.encode({ crkey: 1n, nrkey: 0x0102030405060708n });
  assert.equal(hexOf(register), "01000000000000000807060504030201");
  const acquire = reservationAcquireData.encode({ crkey: 2n, prkey: 3n });
  assert.equal(hexOf(acquire), "02000000000000000300000000000000");
  assert.equal(hexOf(reservationReleaseData.encode({ crkey: 4n })), "0400000000000000");
});

test("the short reservation status has 24-byte entries behind a 24-byte header", () => {
  assert.deepEqual([reservationStatusHeader.size, registeredController.size], [24, 24]);
  const { hostid, rkey } = registeredController.offsets;
  assert.deepEqual([hostid, rkey], [8, 16]);
});
