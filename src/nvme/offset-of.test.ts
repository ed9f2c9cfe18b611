import assert from "node:assert/strict";
import { test } from "node:test";
import { offsetOf } from "./index.ts";

test("offsetOf is the byte at which the specification has a field", () => {
  // Base 2.0: figures 87 and 390; §5.1, §5.16, §5.17, §5.27, §6.2, §6.3, §7.3, §7.5.
  const found: Readonly<Record<number, readonly number[]>> = {
    0: [offsetOf("read", "opc")],
    1: [offsetOf("flush", "flags")],
    4: [offsetOf("identify", "nsid"), offsetOf("disconnect", "fctype")],
    24: [offsetOf("write", "sgl")],
    32: [offsetOf("write", "sglLength")],
    40: [offsetOf("abort", "sqid"), offsetOf("getFeatures", "fid"), offsetOf("read", "slba")],
    41: [offsetOf("authenticationSend", "spsp0"), offsetOf("getFeatures", "select")],
    43: [offsetOf("setFeatures", "save"), offsetOf("authenticationSend", "secp")],
    44: [offsetOf("connect", "sqsize"), offsetOf("reservationReport", "structure")],
    47: [offsetOf("identify", "csi")],
    48: [offsetOf("getLogPage", "lpo"), offsetOf("read", "nlb"), offsetOf("connect", "kato")],
    58: [offsetOf("getLogPage", "offset")],
  };
  for (const [byte, offsets] of Object.entries(found)) {
    for (const offset of offsets) assert.equal(offset, Number(byte));
  }
});
