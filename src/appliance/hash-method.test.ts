/** What the box answers to `hash`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { hashesMax } from "../rpc/index.ts";
import { connectBox, fails } from "./testing/box-client.ts";

test("hash gives the digests of units in order, the last one shorter", async () => {
  const { client, device } = connectBox();
  const data = Buffer.alloc(3 * 4096, "x");
  await device.write(8192, data);
  const found: [number, string][] = [];
  const ranges = [
    { offsetBytes: 8192, lengthBytes: 3 * 4096 },
    { offsetBytes: 0, lengthBytes: 4096 },
  ];
  const sum = await client.stream("hash", { disk: "vda", ranges, unitBytes: 8192 }, (item) => {
    found.push([item.offsetBytes, Buffer.from(item.digests, "base64").toString("hex")]);
  });
  const hex = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  assert.deepEqual(found, [
    [8192, hex(data.subarray(0, 8192)) + hex(data.subarray(0, 4096))],
    [0, "0".repeat(64)],
  ]);
  assert.deepEqual(sum, { units: 3, bytes: 16384 });
});

test("hash in small units comes in items that the session takes", async () => {
  const { client, device } = connectBox();
  await device.write(0, Buffer.alloc(device.sizeBytes, "x"));
  const ranges = Array.from({ length: 5 }, () => ({ offsetBytes: 0, lengthBytes: 1024 * 1024 }));
  const found: Buffer[] = [];
  await client.stream("hash", { disk: "vda", ranges, unitBytes: 4096 }, ({ digests }) => {
    found.push(Buffer.from(digests, "base64"));
  });
  assert.equal(Buffer.concat(found).length, 5 * 256 * 32);
});

test("hash of much is bounded, and little finds room beside it", async () => {
  const { handlers } = connectBox();
  const gate = Promise.withResolvers<void>();
  const { signal } = new AbortController();
  const ask = (mebibytes: number, send: () => Promise<void>) => {
    const range = { offsetBytes: 0, lengthBytes: 1024 * 1024 };
    const ranges = Array.from({ length: mebibytes }, () => range);
    const params = { stream: 1, disk: "vda", ranges, unitBytes: 1024 * 1024 };
    return handlers.hash(params, { signal, session: signal, send });
  };
  const long = Array.from({ length: hashesMax }, () => ask(17, () => gate.promise));
  await assert.rejects(
    ask(17, async () => {}),
    fails("limit", /hashes 8 disks already/),
  );
  assert.equal((await ask(1, async () => {})).units, 1);
  gate.resolve();
  await Promise.all(long);
  assert.equal((await ask(17, async () => {})).units, 17);
});

test("hash refuses ranges beyond the disk, or not in whole blocks", async () => {
  for (const [offsetBytes, lengthBytes, unitBytes] of [
    [1024 * 1024, 512, 4096],
    [1, 512, 4096],
    [0, 100, 4096],
    [0, 512, 4097],
  ] as const) {
    const { client } = connectBox();
    const params = { disk: "vda", ranges: [{ offsetBytes, lengthBytes }], unitBytes };
    await assert.rejects(
      client.stream("hash", params, () => {}),
      fails("range", /vda/),
    );
  }
});
