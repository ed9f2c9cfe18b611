/** TLS keys as nvme-cli makes them, on a probe that has either end of the kernel's. */

import assert from "node:assert/strict";
import type { PskParties } from "../src/nvme/index.ts";
import type { Probe } from "./driver-probe.ts";

/**
 * Makes a key and puts it in the place of those that the kernel has, derived as nvme-cli 2.13 does
 * it. Returns its text.
 */
export async function makeTlsKey(probe: Probe, { hostnqn, subnqn }: PskParties): Promise<string> {
  await probe.succeed("systemctl start tlshd && keyctl clear %:.nvme");
  const names = `--hostnqn=${hostnqn} --subsysnqn=${subnqn}`;
  const said = await probe.succeed(`nvme gen-tls-key --hmac=1 --identity=1 ${names} --insert`);
  const key = /^NVMeTLSkey-1:\S+/m.exec(said)?.[0];
  assert.ok(key, said);
  return key;
}
