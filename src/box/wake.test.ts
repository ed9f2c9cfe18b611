/** Magic packets, and the cards that they are for. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readSeenBoxes, rememberSeenBoxes, sendMagicPackets } from "./driver-wake.ts";
import { broadcastsOf, magicPacket } from "./magic-packet.ts";
import { addSeenBoxes, formatSeenBoxes, parseSeenBoxes, seenBoxOf } from "./seen.ts";

const mac = "52:54:00:12:34:56";

test("magicPacket is six bytes of ones, then the card's address sixteen times", () => {
  const hex = Buffer.from(magicPacket(mac)).toString("hex");
  assert.equal(hex, "ff".repeat(6) + "525400123456".repeat(16));
});

test("broadcastsOf has each network of this machine once", () => {
  const own = { family: "IPv4", internal: false };
  const found = broadcastsOf([
    { ...own, address: "127.0.0.1", netmask: "255.0.0.0", internal: true },
    { ...own, address: "10.1.2.3", netmask: "255.255.240.0" },
    { ...own, address: "10.1.2.4", netmask: "255.255.240.0" },
    { ...own, address: "192.0.2.7", netmask: "255.255.255.0" },
    { ...own, address: "fe80::1", netmask: "ffff:ffff::", family: "IPv6" },
  ]);
  assert.deepEqual(found, ["10.1.15.255", "192.0.2.255"]);
});

test("sendMagicPackets sends to a port of its own, more than once", async () => {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const heard: Buffer[] = [];
  const enough = new Promise<void>((resolve) => {
    socket.on("message", (data) => {
      if (heard.push(data) === 3) resolve();
    });
  });
  const { port } = socket.address();
  assert.deepEqual(await sendMagicPackets([mac], { address: "127.0.0.1", port }), ["127.0.0.1"]);
  await enough;
  for (const data of heard) assert.deepEqual(new Uint8Array(data), magicPacket(mac));
  socket.close();
});

test("seenBoxOf takes each card once, and none that has no address", () => {
  const address = { address: "192.0.2.7", family: "IPv4", interface: "eth0", linkLocal: false };
  const of = (...macs: (string | undefined)[]) => {
    const addresses = macs.map((one) => ({ ...address, ...(one ? { mac: one } : {}) }));
    return seenBoxOf("lunch-feta", { addresses: addresses as [] });
  };
  const wanted = { name: "lunch-feta", macs: ["02:00:00:00:00:01", mac] };
  assert.deepEqual(of(mac.toUpperCase(), mac, undefined, "02:00:00:00:00:01"), wanted);
  assert.equal(of("00:00:00:00:00:00", "ff", undefined), null);
});

test("parseSeenBoxes forgets what makes no sense", () => {
  const boxes = [{ name: "lunch-feta", macs: [mac] }];
  assert.deepEqual(parseSeenBoxes(formatSeenBoxes(boxes)), boxes);
  for (const text of ["", "{", "[]", "null", '{"boxes":[{"name":"a","macs":["x"]}]}']) {
    assert.deepEqual(parseSeenBoxes(text), [], text);
  }
  assert.equal(addSeenBoxes(boxes, [{ name: "lunch-feta", macs: [mac] }]), boxes);
});

test("rememberSeenBoxes keeps others, and is for nobody else to read", async () => {
  const folder = await mkdtemp(join(tmpdir(), "seen-"));
  try {
    assert.deepEqual(await readSeenBoxes(folder), []);
    await rememberSeenBoxes(folder, [{ name: "b", macs: [mac] }]);
    await rememberSeenBoxes(folder, [{ name: "a", macs: [mac] }]);
    const all = [
      { name: "a", macs: [mac] },
      { name: "b", macs: [mac] },
    ];
    assert.deepEqual(await readSeenBoxes(folder), all);
    assert.equal((await stat(join(folder, "boxes-seen.json"))).mode & 0o777, 0o600);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("readSeenBoxes takes no file that it cannot read for one that is not there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "seen-"));
  try {
    await mkdir(join(folder, "boxes-seen.json"));
    await assert.rejects(readSeenBoxes(folder), { name: "BoxError", code: "configuration" });
  } finally {
    await rm(folder, { recursive: true });
  }
});
