import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePeers } from "./peers.ts";

const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";
// Port 4420 is 1144h, 8009 1F49h; the last digits of a line do not matter.
const tcp = `${head}   0: 00000000:1144 00000000:0000 0A 00000000:00000000
   1: 0F02000A:1144 0202000A:C350 01 00000000:00000000
   2: 0F02000A:1144 0202000A:C351 01 00000000:00000000
   3: 0F02000A:1F49 0202000A:C352 01 00000000:00000000
   4: 0F02000A:0016 0202000A:C353 01 00000000:00000000
   5: 0F02000A:1144 0302000A:C354 06 00000000:00000000
`;
const tcp6 = `${head}   0: 000080FE000000000250A1FE010000FF:1144 000080FE00000000FF505452FE563412:9C40 01 0
   1: 00000000000000000000000001000000:1144 B80D0120000000000000000001000000:9C41 01 0
`;

test("parsePeers counts connections that stand, by address and port", () => {
  assert.deepEqual(parsePeers([tcp, tcp6], new Set([4420, 8009])), [
    { address: "10.0.2.2", port: 4420, connections: 2 },
    { address: "10.0.2.2", port: 8009, connections: 1 },
    { address: "fe80::5254:50ff:1234:56fe", port: 4420, connections: 1 },
    { address: "2001:db8::1", port: 4420, connections: 1 },
  ]);
});

test("parsePeers passes over what is no table", () => {
  assert.deepEqual(parsePeers(["", "x\ny\n1: 2 3 01\n"], new Set([4420])), []);
});
