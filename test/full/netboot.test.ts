/**
 * A box without a medium: the firmware loads its one file over HTTP each time (UEFI 2.11, 24.7), and
 * the loop goes on as it does with a stick.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { RunBox } from "../driver-run-box.ts";

/** Where efivarfs has the firmware's own variables. */
const variables = "/sys/firmware/efi/efivars";
const globalVendor = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/** A number that OVMF does not give. */
const entry = 0x0099;
/** A Uri node of a device path that names nothing (10.3.4.23), and the end of the path. */
const emptyUri = Buffer.from([3, 24, 4, 0, 0x7f, 0xff, 4, 0]);

let box: RunBox;
let server: Server;
const asked: string[] = [];

before(async () => {
  box = await RunBox.start();
  server = await serveFile(join(box.folder, "out", "diskomator.efi"));
});
after(async () => {
  await box?.[Symbol.asyncDispose]();
  server?.close();
});

test("a box that booted over HTTP offers its disk", async () => {
  await box.bootedAt();
  const { port } = server.address() as AddressInfo;
  // What this machine is called on QEMU's network.
  await putFirst(await httpEntry(`http://10.0.2.2:${port}/diskomator.efi`));
  await box.cutPower();
  await box.powerOn("network");
  await box.bootedAt();
  const { boxes } = await box.owner.json("ls", "--timeout", "60");
  assert.match(boxes[0].bootMedium, /^none: .*network boot/);
  assert.deepEqual(
    boxes[0].disks.map((disk: { serial: string; state: { kind: string } }) => [
      disk.serial,
      disk.state.kind,
    ]),
    [[box.serial, "exported"]],
  );
  assert.deepEqual(asked, ["HEAD /diskomator.efi", "GET /diskomator.efi"]);
});

test("run boots an image once, and the box is back from the network", async () => {
  const ended = await box.run(await box.imageOf("reboot", "first"));
  assert.equal(ended.outcome, "met", JSON.stringify(ended));
  assert.equal(await box.readCounter(), "counter 1 first");
  assert.equal(ended.report.boots, 2);
  assert.equal(ended.report.bootOrder.outcome, "same");
  assert.deepEqual(ended.report.problems, []);
  assert.equal(asked.filter((line) => line === "GET /diskomator.efi").length, 2);
});

async function serveFile(path: string): Promise<Server> {
  const { size } = await stat(path);
  const created = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(200, { "content-type": "application/efi", "content-length": size });
    if (request.method === "HEAD") response.end();
    else createReadStream(path).pipe(response);
  });
  created.listen(0, "127.0.0.1");
  await once(created, "listening");
  return created;
}

/** The firmware's own entry for HTTP over IPv4, with an address to load from. */
async function httpEntry(uri: string): Promise<Buffer> {
  const listed = await box.shell(`for f in ${variables}/Boot0*; do base64 -w0 $f; echo; done`);
  const options = listed.split("\n").map((line) => Buffer.from(line, "base64"));
  const option = options.find((one) => one.includes(Buffer.from("HTTPv4", "utf16le")));
  assert(option !== undefined, "The firmware has no entry for HTTP.");
  const at = option.indexOf(emptyUri);
  assert(at > 0, option.toString("hex"));
  const node = Buffer.concat([Buffer.from([3, 24, 4 + uri.length, 0]), Buffer.from(uri)]);
  const end = at + emptyUri.length;
  const changed = Buffer.concat([option.subarray(0, at), node, option.subarray(at + 4, end)]);
  // Behind the attributes of the variable and those of the option.
  changed.writeUInt16LE(option.readUInt16LE(8) + uri.length, 8);
  return changed;
}

/** Adds the entry, first in the boot order. */
async function putFirst(option: Buffer): Promise<void> {
  const orderPath = `${variables}/BootOrder-${globalVendor}`;
  const order = Buffer.from(await box.shell(`base64 -w0 ${orderPath}`), "base64");
  const number = Buffer.alloc(2);
  number.writeUInt16LE(entry);
  const changed = Buffer.concat([order.subarray(0, 4), number, order.subarray(4)]);
  await write(`${variables}/Boot0099-${globalVendor}`, option);
  await write(orderPath, changed);
}

/** In one piece, as efivarfs wants it. */
async function write(path: string, data: Buffer): Promise<void> {
  await box.shell(
    `echo ${data.toString("base64")} | base64 -d > /run/variable && cat /run/variable > ${path}`,
  );
}
