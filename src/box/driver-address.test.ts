import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { findAddress } from "./driver-address.ts";
import { BoxError } from "./error.ts";
import { placeOfKnown } from "./place.ts";

async function placeWith(isListening: boolean) {
  const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  if (!isListening) server.close();
  const place = placeOfKnown({
    name: "attic",
    address: "127.0.0.1",
    ports: new Map([[22, port]]),
  });
  return { port, place, [Symbol.dispose]: () => server.close() };
}

test("findAddress finds the one that accepts a connection", async () => {
  using there = await placeWith(true);
  const { place } = there;
  assert.equal(await findAddress({ ...place, addresses: ["::1", "127.0.0.1"] }), "127.0.0.1");
});

test("findAddress says of each address what is wrong, and keeps the causes", async () => {
  using gone = await placeWith(false);
  await assert.rejects(findAddress(gone.place), (error: unknown) => {
    assert.ok(error instanceof BoxError);
    assert.equal(error.code, "unreachable");
    assert.match(
      error.message,
      new RegExp(`^Cannot reach attic: 127\\.0\\.0\\.1 port ${gone.port}: refused\\. Check that`),
    );
    assert.ok(error.cause instanceof AggregateError);
    assert.deepEqual(
      error.cause.errors.map((one: NodeJS.ErrnoException) => one.code),
      ["ECONNREFUSED"],
    );
    return true;
  });
});

test("findAddress says so where no address is known", async () => {
  using gone = await placeWith(false);
  const nowhere = findAddress({ ...gone.place, addresses: [] });
  await assert.rejects(nowhere, /Cannot reach attic: no address of it is known\. Check that/);
});
