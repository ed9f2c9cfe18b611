import assert from "node:assert/strict";
import { test } from "node:test";
import { ImageError } from "../error.ts";
import { intelUpdateHeader, microcodeEntries } from "./microcode.ts";
import { fileEntry } from "./testing/fixture.ts";

const intel = (name: string) => `usr/lib/firmware/intel-ucode/${name}`;
const amd = (name: string) => `usr/lib/firmware/amd-ucode/${name}`;

function update(signature: number, revision: number, platforms = 1, totalSize = 64): Uint8Array {
  const header = intelUpdateHeader.encode({
    headerVersion: 1,
    revision,
    date: 0x0726_2024,
    signature,
    checksum: 0,
    loaderVersion: 1,
    platforms,
    dataSize: 16,
    totalSize,
  });
  const whole = new Uint8Array(totalSize || 2048).fill(revision);
  whole.set(header);
  return whole;
}

const joined = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const contents = (entries: ReturnType<typeof microcodeEntries>) =>
  Object.fromEntries(
    entries.flatMap((e) => (e.type === "file" ? [[e.path, new Uint8Array(e.data)]] : [])),
  );

test("intelUpdateHeader lies as the SDM says", () => {
  const value = {
    headerVersion: 1,
    revision: 0x42,
    date: 0x0726_2024,
    signature: 0x000906ea,
    checksum: 0xdeadbeef,
    loaderVersion: 1,
    platforms: 0x22,
    dataSize: 0x10,
    totalSize: 0x40,
  };
  const hex =
    "010000004200000024202607ea060900efbeadde010000002200000010000000" +
    "40000000000000000000000000000000";
  assert.equal(Buffer.from(intelUpdateHeader.encode(value)).toString("hex"), hex);
  assert.deepEqual(intelUpdateHeader.decode(Buffer.from(hex, "hex")), value);
});

test("microcodeEntries joins each maker's files by path below their folders", () => {
  const entries = microcodeEntries(
    [
      fileEntry(intel("06-02-02"), update(2, 5)),
      fileEntry(intel("06-01-01"), update(1, 5)),
      fileEntry(amd("microcode_amd_fam17h.bin"), "17"),
      fileEntry(amd("microcode_amd.bin"), "00"),
      fileEntry(amd("microcode_amd.bin.asc"), "signature"),
      fileEntry("usr/share/doc/x", "x"),
    ],
    9,
  );
  assert.deepEqual(
    entries.map(({ path, mtimeSeconds }) => [path, mtimeSeconds]),
    [
      ["kernel", 9],
      ["kernel/x86", 9],
      ["kernel/x86/microcode", 9],
      ["kernel/x86/microcode/AuthenticAMD.bin", 9],
      ["kernel/x86/microcode/GenuineIntel.bin", 9],
    ],
  );
  assert.deepEqual(contents(entries), {
    "kernel/x86/microcode/AuthenticAMD.bin": new Uint8Array(Buffer.from("0017")),
    "kernel/x86/microcode/GenuineIntel.bin": joined(update(1, 5), update(2, 5)),
  });
});

test("microcodeEntries keeps the newest update for each signature and platform set", () => {
  const entries = microcodeEntries(
    [
      fileEntry(intel("06-01-01"), joined(update(1, 5), update(1, 5, 2))),
      fileEntry(intel("06-01-01.initramfs"), update(1, 7)),
      fileEntry(intel("06-01-02"), update(1, 6)),
    ],
    0,
  );
  assert.deepEqual(contents(entries), {
    "kernel/x86/microcode/GenuineIntel.bin": joined(update(1, 7), update(1, 5, 2)),
  });
});

test("microcodeEntries takes a total size of 0 as 2048 bytes", () => {
  const entries = microcodeEntries([fileEntry(intel("06-01-01"), update(1, 5, 1, 0))], 0);
  assert.equal(contents(entries)["kernel/x86/microcode/GenuineIntel.bin"]?.length, 2048);
});

test("microcodeEntries makes nothing of nothing", () => {
  assert.deepEqual(microcodeEntries([], 0), []);
});

test("microcodeEntries refuses an Intel file that is not whole", () => {
  const whole = update(1, 5);
  const oldVersion = whole.slice();
  oldVersion[0] = 2;
  for (const data of [whole.subarray(0, 63), whole.subarray(0, 20), oldVersion]) {
    assert.throws(
      () => microcodeEntries([fileEntry(intel("06-01-01"), data)], 0),
      (error) =>
        error instanceof ImageError &&
        error.code === "firmware" &&
        error.message.includes(`no whole update at byte 0 of ${data.length}`),
    );
  }
});
