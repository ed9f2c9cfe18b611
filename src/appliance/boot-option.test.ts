/** Load options, against what a firmware wrote and what the specification says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  encodeLoadOption,
  encodeNumbers,
  fileOf,
  formatNumber,
  isPassedOver,
  loaderPath,
  parseLoadOption,
  parseNumbers,
  partitionOf,
} from "./boot-option.ts";

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex.replace(/\s/g, ""), "hex"));

/** `Boot0000` of OVMF (edk2-stable202211): an application, which firmware passes over. */
const uiApp = bytes(`
  09 01 00 00 2c 00 55 00 69 00 41 00 70 00 70 00 00 00
  04 07 14 00 c9 bd b8 7c eb f8 34 4f aa ea 3e e4 af 65 16 a1
  04 06 14 00 21 aa 2c 46 14 76 03 45 83 6e 8a b6 f4 66 23 31
  7f ff 04 00`);

/** `Boot0001` of the same: a USB stick, with the firmware's mark as optional data. */
const stick = bytes(`
  01 00 00 00 1c 00 55 00 53 00 42 00 00 00
  02 01 0c 00 d0 41 03 0a 00 00 00 00 01 01 06 00 00 02 03 05 06 00 00 00 7f ff 04 00
  4e ac 08 81 11 9f 59 4d 85 0e e2 1a 52 2c 59 b2`);

test("parseLoadOption reads what a firmware wrote, and encodeLoadOption writes it", () => {
  const option = parseLoadOption(uiApp);
  assert.equal(option?.description, "UiApp");
  assert.equal(option?.path.length, 0x2c);
  assert.deepEqual(encodeLoadOption(option), uiApp);
  assert.ok(isPassedOver(option));
  const second = parseLoadOption(stick);
  assert.equal(second?.description, "USB");
  assert.deepEqual(second?.path.slice(-4), bytes("7fff0400"));
  assert.ok(!isPassedOver(second));
  assert.ok(isPassedOver({ ...second, attributes: 0 }));
});

test("parseLoadOption gives null for what is cut short, and never throws", () => {
  for (let length = 0; length < uiApp.length; length++) {
    assert.equal(parseLoadOption(uiApp.subarray(0, length)), null);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (data) => {
      const found = parseLoadOption(data);
      assert(found === null || found.path.length <= data.length);
    }),
    { seed: 20261123, numRuns: 500 },
  );
});

const place = {
  partition: 1,
  firstLba: 2048,
  sectors: 0x15000,
  partUuid: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  file: "\\A",
};

test("loaderPath is HD(1,GPT,…)/File(…) as UEFI 2.11 has it, 10.3.5.1 and 10.3.5.4", () => {
  const wanted = `
    04 01 2a 00 01 00 00 00 00 08 00 00 00 00 00 00 00 50 01 00 00 00 00 00
    28 73 2a c1 1f f8 d2 11 ba 4b 00 a0 c9 3e c9 3b 02 02
    04 04 0a 00 5c 00 41 00 00 00
    7f ff 04 00`;
  assert.deepEqual(new Uint8Array(loaderPath(place)), bytes(wanted));
  const disk = bytes("02 01 0c 00 d0 41 03 0a 00 00 00 00");
  const long = new Uint8Array(loaderPath(place, disk));
  assert.deepEqual(long, bytes(`${Buffer.from(disk).toString("hex")}${wanted}`));
});

test("partitionOf and fileOf read a path, and give null where it names none", () => {
  const path = loaderPath(place);
  assert.equal(partitionOf(path), place.partUuid);
  assert.equal(fileOf(path), "\\A");
  const { path: whole = path } = parseLoadOption(stick) ?? {};
  assert.equal(partitionOf(whole), null);
  assert.equal(fileOf(whole), null);
  // MBR: a signature of four bytes, and no GUID.
  path[41] = 1;
  assert.equal(partitionOf(path), null);
  // In two nodes.
  const two = bytes("0404 0a00 4500 4600 0000 0404 0800 4200 0000 7fff0400");
  assert.equal(fileOf(two), "EF\\B");
});

test("parseNumbers and encodeNumbers are each other's way back", () => {
  assert.deepEqual(parseNumbers(bytes("0000 0100 0c00")), [0, 1, 12]);
  assert.deepEqual(encodeNumbers([0, 1, 0xabcd]), bytes("0000 0100 cdab"));
  assert.deepEqual(parseNumbers(bytes("010000")), [1]);
  assert.equal(formatNumber(0xab), "00AB");
});
