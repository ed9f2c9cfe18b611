/** The decoder of udevadm's output, on output captured from udevadm 252 and after its form. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createUeventDecoder, diskOfEvent, type UeventItem } from "./uevents.ts";

const captured = `monitor will print the received events for:
UDEV - the event which udev sends out after rule processing
KERNEL - the kernel uevent

KERNEL[1513.831710] change   /devices/virtual/block/loop0 (block)
ACTION=change
DEVPATH=/devices/virtual/block/loop0
SUBSYSTEM=block
SYNTH_UUID=0
DEVNAME=/dev/loop0
DEVTYPE=disk
DISKSEQ=1
SEQNUM=802
MAJOR=7
MINOR=0

KERNEL[1513.831782] change   /devices/pci0000:00/0000:00:02.0/virtio1/block/vda (block)
ACTION=change
DEVPATH=/devices/pci0000:00/0000:00:02.0/virtio1/block/vda
SUBSYSTEM=block
SYNTH_ARG_A=1
DEVNAME=/dev/vda
DEVTYPE=disk
DISKSEQ=9
SEQNUM=803
MAJOR=254
MINOR=0

UDEV  [1513.901000] add      /devices/pci0000:00/0000:00:02.0/virtio1/block/vda/vda1 (block)
ACTION=add
DEVNAME=/dev/vda1
DEVTYPE=partition
ID_PART_ENTRY_NAME=a=b
SEQNUM=804

`;

function decode(pieces: readonly string[]): UeventItem[] {
  const decoder = createUeventDecoder();
  return pieces.flatMap((piece) => decoder.push(piece));
}

test("createUeventDecoder gives banner and events with source, time and properties", () => {
  const items = decode([captured]);
  assert.deepEqual(
    items.map((item) =>
      item.kind === "event"
        ? [item.event.source, item.event.action, item.event.atMs, diskOfEvent(item.event)]
        : item.kind,
    ),
    [
      "listening",
      ["kernel", "change", 1_513_831.71, "loop0"],
      ["kernel", "change", 1_513_831.782, "vda"],
      ["udev", "add", 1_513_901, "vda"],
    ],
  );
  const last = items.at(-1);
  assert.equal(last?.kind === "event" && last.event.properties.ID_PART_ENTRY_NAME, "a=b");
});

test("createUeventDecoder gives the same however the output is cut", () => {
  const whole = decode([captured]);
  const cuts = fc.array(fc.nat(captured.length), { maxLength: 6 });
  fc.assert(
    fc.property(cuts, (places) => {
      const sorted = [0, ...places.toSorted((a, b) => a - b), captured.length];
      const pieces = sorted.slice(1).map((end, i) => captured.slice(sorted[i], end));
      assert.deepEqual(decode(pieces), whole);
    }),
    { seed: 20261123, numRuns: 200 },
  );
});

test("createUeventDecoder passes over what is no event and holds no endless paragraph", () => {
  assert.deepEqual(decode(["garbage\n\nKERNEL[x] y z\n\n"]), []);
  assert.equal(decode(["x".repeat(100_000), "\n\n", captured]).length, 4);
  fc.assert(
    fc.property(fc.string({ maxLength: 400 }), (text) => {
      decode([text, "\n\n"]);
    }),
    { seed: 20261123, numRuns: 200 },
  );
});

test("diskOfEvent gives the slash back to names that have one", () => {
  const event = {
    source: "kernel",
    atMs: 0,
    action: "add",
    devicePath: "/devices/pci0000:00/block/cciss!c0d0",
    properties: { DEVTYPE: "disk" },
  } as const;
  assert.equal(diskOfEvent(event), "cciss/c0d0");
});
