import assert from "node:assert/strict";
import { test } from "node:test";
import type { GrantedAccess } from "../rpc/index.ts";
import { grantedConnection } from "./access.ts";
import { BoxError } from "./error.ts";
import { placeOfAddress, placeOfKnown } from "./place.ts";

const disk: GrantedAccess["disks"][number] = {
  name: "nvme0n1",
  serial: "S6Z1NJ0W1",
  nqn: "nqn.2026-11.io.diskomator:cd7c3f8f:S6Z1NJ0W1:h-0123456789ab",
  nsid: 1,
  uuid: "6c0f57bd-7e5c-8b0c-9a5f-3d2f4e1b8a90",
  port: 4420,
  sizeBytes: 2 ** 30,
  blockSizeBytes: 512,
  readOnly: false,
  tlsIdentity: "NVMe1R01 host sub digest",
};
const access: GrantedAccess = {
  grant: "g1",
  hostnqn: "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90",
  mode: "rw",
  expiresAt: null,
  secrets: { host: "DHHC-1:01:aG9zdA==:", controller: "DHHC-1:01:Y3RybA==:" },
  tlsPsk: "NVMeTLSkey-1:01:cHNr:",
  addresses: [],
  disks: [disk],
};
const where = {
  host: "10.0.0.17",
  port: 4420,
  subsystemNqn: disk.nqn,
  hostNqn: access.hostnqn,
  authentication: { secret: access.secrets.host, controllerSecret: access.secrets.controller },
};
const place = placeOfAddress("10.0.0.17");

test("grantedConnection encrypts with the key of the grant", () => {
  const options = grantedConnection(access, disk, place, "10.0.0.17", { isEncrypted: true });
  assert.deepEqual(options, { ...where, tls: { key: "NVMeTLSkey-1:01:cHNr:" } });
});

test("grantedConnection without encryption still proves both ends", () => {
  const options = grantedConnection(access, disk, place, "10.0.0.17", { isEncrypted: false });
  assert.deepEqual(options, where);
});

test("grantedConnection never goes on in the clear unless it is told to", () => {
  for (const [bare, one] of [
    [{ ...access, tlsPsk: null }, disk],
    [access, { ...disk, tlsIdentity: null }],
  ] as const) {
    assert.throws(
      () => grantedConnection(bare, one, place, "10.0.0.17", { isEncrypted: true }),
      (error) => error instanceof BoxError && error.code === "unsupported",
    );
  }
});

test("grantedConnection goes through forwarded ports", () => {
  const forwarded = placeOfKnown({
    name: "attic",
    address: "127.0.0.1",
    ports: new Map([[4420, 34420]]),
  });
  const options = grantedConnection(access, disk, forwarded, "127.0.0.1", { isEncrypted: true });
  assert.deepEqual([options.host, options.port], ["127.0.0.1", 34420]);
});
