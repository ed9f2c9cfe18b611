/** What a kernel says of itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeKernelSetup, kernelSetup } from "./kernel-setup.ts";

const good = {
  magic: "HdrS",
  protocol: 0x20f,
  loadFlags: { is64Bit: true, isRelocatableAbove4G: true },
  commandLineBytesMax: 2047,
  initBytes: 60_000_000,
};

test("kernelSetup has the fields where the kernel's documentation has them", () => {
  const { magic, protocol, loadFlags, commandLineBytesMax, initBytes } = kernelSetup.offsets;
  const found = { magic, protocol, loadFlags, commandLineBytesMax, initBytes };
  const wanted = { magic: 0x202, protocol: 0x206, loadFlags: 0x236, commandLineBytesMax: 0x238 };
  assert.deepEqual(found, { ...wanted, initBytes: 0x260 });
});

test("decodeKernelSetup tells how long a command line may be, and what memory it takes", () => {
  const found = decodeKernelSetup(kernelSetup.encode(good));
  assert.deepEqual(found, { commandLineBytesMax: 2047, initBytes: 60_000_000 });
});

const flags = { is64Bit: true, isRelocatableAbove4G: true };
const faults: readonly [changes: Partial<typeof good>, reason: RegExp][] = [
  [{ magic: "Hdr" }, /no bzImage/],
  [{ protocol: 0x20b }, /older than Linux 3\.8/],
  [{ loadFlags: { ...flags, is64Bit: false } }, /not for 64-bit/],
  [{ loadFlags: { ...flags, isRelocatableAbove4G: false } }, /cannot be loaded anywhere/],
];

for (const [changes, reason] of faults) {
  test(`decodeKernelSetup takes no kernel with ${JSON.stringify(changes)}`, () => {
    const found = decodeKernelSetup(kernelSetup.encode({ ...good, ...changes }));
    assert("reason" in found);
    assert.match(found.reason, reason);
  });
}

test("decodeKernelSetup takes any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 0x300 }), (head) => {
      const found = decodeKernelSetup(head);
      assert("reason" in found || found.initBytes >= 0);
    }),
    { seed: 20261123, numRuns: 200 },
  );
});
