/** Names that stay. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { assignNames, boxId, type HeldNames, isLasting, nqnLengthMax } from "./identity.ts";
import { type Disk, takeInventory } from "./inventory.ts";
import { nvmeFacts, stickFacts, virtioFacts } from "./testing/facts-samples.ts";

const base = "nqn.2026-11.org.example";
const box = "1a2b3c4d";
const none: HeldNames = new Map();
const nvme = takeInventory(nvmeFacts);
const stick = takeInventory(stickFacts);
const virtio = takeInventory(virtioFacts);

function nameOne(disk: Disk, onBox = box, held: HeldNames = none) {
  return assignNames([disk], base, onBox, held).get(disk.name)!;
}

test("boxId is the head of a hash of the machine's id", () => {
  const id = "0123456789abcdef0123456789abcdef";
  const hash = createHash("sha256").update(`diskomator box${id}`).digest("hex");
  assert.equal(boxId(`${id}\n`), hash.slice(0, 8));
});

test("assignNames gives a disk with a world-wide name the same UUID on every box", () => {
  const here = nameOne(nvme);
  const there = nameOne(nvme, "99999999");
  assert.equal(here.nqn, `${base}:${box}:eui.0025385b71b0a3f1`);
  assert.equal(here.uuid, there.uuid);
  assert.equal(here.nguid, there.nguid);
  assert.notEqual(here.nqn, there.nqn);
  assert.deepEqual(
    [here.serial, here.model, here.firmware],
    ["S5GXNX0R123456", "Samsung SSD 980 1TB", "2B4QFXO7"],
  );
});

test("assignNames gives a disk without a name of its own another UUID on another box", () => {
  assert.notEqual(nameOne(virtio).uuid, nameOne(virtio, "99999999").uuid);
});

test("assignNames makes UUIDs of version 8 and strings that nvmet accepts", () => {
  const text = fc.string({ maxLength: 300, unit: "grapheme" });
  fc.assert(
    fc.property(text, text, fc.boolean(), (value, model, weak) => {
      const disk: Disk = {
        ...virtio,
        identity: { kind: "serial", value, weak },
        model: model.replaceAll(/[^\x20-\x7e]/g, ""),
      };
      const names = nameOne(disk);
      assert.match(
        names.uuid,
        /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
      assert.match(names.nguid, /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      assert.ok(names.nqn.length <= nqnLengthMax);
      assert.match(names.nqn, /^nqn\.2026-11\.org\.example:1a2b3c4d:[A-Za-z0-9._-]+$/);
      assert.match(names.serial, /^[\x20-\x7e]{1,20}$/);
      assert.match(names.model, /^[\x20-\x7e]{1,40}$/);
      assert.match(names.firmware, /^[\x20-\x7e]{1,8}$/);
    }),
    { seed: 20261123, numRuns: 300 },
  );
});

test("assignNames tells identities apart that are cut to the same length", () => {
  const long = (end: string): Disk => ({
    ...virtio,
    identity: { kind: "serial", value: "x".repeat(300) + end, weak: false },
  });
  assert.notEqual(nameOne(long("a")).nqn, nameOne(long("b")).nqn);
});

const twin: Disk = { ...stick, name: "sdc", path: "pci-0000:00:14.0-usb-0:4" };

test("assignNames tells twins apart by where they are plugged in", () => {
  const names = assignNames([stick, twin], base, box, none);
  const [one, other] = [names.get("sdb")!, names.get("sdc")!];
  assert.notEqual(one.nqn, other.nqn);
  assert.notEqual(one.uuid, other.uuid);
  assert.match(other.nqn, /-usb-0-4$/);
});

test("assignNames lets an exported disk keep its name when a twin comes and when it goes", () => {
  const plain = nameOne(stick);
  const heldPlain = new Map([["sdb", new Set([plain.nqn])]]);
  const both = assignNames([stick, twin], base, box, heldPlain);
  assert.deepEqual(both.get("sdb"), plain);
  const placed = both.get("sdc")!;
  assert.notEqual(placed.nqn, plain.nqn);
  const alone = assignNames([twin], base, box, new Map([["sdc", new Set([placed.nqn])]]));
  assert.deepEqual(alone.get("sdc"), placed);
});

test("assignNames gives a disk that is known by its place the same names again", () => {
  const names = nameOne(virtio);
  assert.deepEqual(nameOne(virtio, box, new Map([["vda", new Set([names.nqn])]])), names);
});

test("assignNames gives a disk that held another disk's name its own", () => {
  const held = new Map([["sdb", new Set([nameOne(nvme).nqn])]]);
  assert.deepEqual(nameOne(stick, box, held), nameOne(stick));
});

const machineId = "9a3e1b527c644d1f8f3a5d2b6c7e8f90";
const fromFirmware = "quiet systemd.machine_id=firmware loglevel=4";
const idRows: [name: string, id: string, commandLine: string, uuid: string | null, is: boolean][] =
  [
    ["the firmware's own", machineId, fromFirmware, "9A3E1B52-7C64-4d1f-8f3a-5d2b6c7e8f90\n", true],
    ["made up for zeros", machineId, fromFirmware, "00000000-0000-0000-0000-000000000000", false],
    ["made up for nothing", machineId, fromFirmware, null, false],
    ["kept in a file", `${machineId}\n`, "quiet", null, true],
    ["none", "", "quiet", null, false],
  ];
for (const [name, id, commandLine, uuid, is] of idRows) {
  test(`isLasting: an id that is ${name}: ${is}`, () => {
    assert.equal(isLasting(id, commandLine, uuid), is);
  });
}
