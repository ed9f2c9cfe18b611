/** EFI load options, laid out by hand after UEFI 2.11, 3.1.3 and 10.3. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  matchFirmwarePath,
  type PathNode,
  parseBootCurrent,
  parseBootOption,
  parseTextVariable,
} from "./firmware-path.ts";
import { nvmeFacts, stickFacts, virtioFacts } from "./testing/facts-samples.ts";

/** Attributes of the variable, attributes of the option, length of the path, "ab", NUL, path. */
function option(...nodes: string[]): Uint8Array {
  const path = `${nodes.join("")}7fff0400`;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(path.length / 2);
  const head = `0700000001000000${length.toString("hex")}610062000000`;
  return Buffer.from(head + path, "hex");
}

const root = "02010c00d041030a00000000";
const pci = (device: number, fn: number): string =>
  `01010600${Buffer.from([fn, device]).toString("hex")}`;
const usb = (port: number): string => `03050600${Buffer.from([port, 0]).toString("hex")}`;
const nvme = `0317100001000000${"00".repeat(8)}`;
const sata = "03120a0000000000ffff";
const partition = `04012a00${"00".repeat(38)}`;

const options: [name: string, variable: Uint8Array, nodes: readonly PathNode[] | null][] = [
  [
    "NVMe behind a bridge",
    option(root, pci(1, 1), pci(0, 0), nvme, partition),
    [
      { kind: "pci", device: 1, function: 1 },
      { kind: "pci", device: 0, function: 0 },
      { kind: "nvme" },
    ],
  ],
  [
    "USB stick",
    option(root, pci(0x14, 0), usb(2), partition),
    [
      { kind: "pci", device: 0x14, function: 0 },
      { kind: "usb", port: 2 },
    ],
  ],
  ["short form, partition only", option(partition), null],
  ["cut short", option(root, pci(1, 0)).subarray(0, 30), null],
  ["empty", new Uint8Array(), null],
  ["a node without a length", option("01010000"), null],
];

for (const [name, variable, nodes] of options) {
  test(`parseBootOption: ${name}`, () => {
    assert.deepEqual(parseBootOption(variable), nodes);
  });
}

test("parseBootOption takes any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      parseBootOption(bytes);
      parseBootCurrent(bytes);
    }),
    { seed: 20261123, numRuns: 500 },
  );
});

test("parseBootCurrent gives four hex digits", () => {
  assert.equal(parseBootCurrent(Buffer.from("070000000a00", "hex")), "000A");
  assert.equal(parseBootCurrent(Buffer.from("0700", "hex")), null);
});

test("parseTextVariable gives the text without attributes and NUL", () => {
  const text = Buffer.concat([Buffer.from([6, 0, 0, 0]), Buffer.from("AB-1\0", "utf16le")]);
  assert.equal(parseTextVariable(text), "AB-1");
});

const matches: [name: string, variable: Uint8Array, path: string, match: string][] = [
  ["NVMe", option(root, pci(1, 1), pci(0, 0), nvme), nvmeFacts.devicePath, "match"],
  ["NVMe elsewhere", option(root, pci(2, 0), nvme), nvmeFacts.devicePath, "contradiction"],
  ["virtio", option(root, pci(2, 0)), virtioFacts.devicePath, "match"],
  ["USB port", option(root, pci(0x14, 0), usb(2)), stickFacts.devicePath, "match"],
  ["USB 3 port", option(root, pci(0x14, 0), usb(18)), stickFacts.devicePath, "unknown"],
  ["USB hub", option(root, pci(0x14, 0), usb(2), usb(0)), stickFacts.devicePath, "contradiction"],
  ["USB and NVMe", option(root, pci(0x14, 0), usb(2)), nvmeFacts.devicePath, "contradiction"],
  [
    "SATA, whose ports are numbered otherwise",
    option(root, pci(0x1f, 2), sata),
    "/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda",
    "unknown",
  ],
  ["no PCI on Linux's side", option(root, pci(1, 0)), "/devices/platform/x/mmcblk0", "unknown"],
];

for (const [name, variable, path, match] of matches) {
  test(`matchFirmwarePath: ${name}: ${match}`, () => {
    assert.equal(matchFirmwarePath(parseBootOption(variable)!, path), match);
  });
}
