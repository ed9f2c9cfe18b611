/** Records of crashes, put together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crashTextMax, joinCrashes, printOfCrash } from "./crash-dumps.ts";

test("joinCrashes puts parts in the order of the log, and crashes beside each other", () => {
  const files = [
    { name: "dmesg-efi_pstore-1", text: "Panic#1 Part1\nKernel panic\n---[ end" },
    { name: "dmesg-efi_pstore-2", text: "Panic#1 Part10\nfirst line\n" },
    { name: "dmesg-efi_pstore-3", text: "Panic#1 Part2\nlast call\n" },
    { name: "dmesg-efi_pstore-4", text: "Oops#1 Part1\nunable to handle\n" },
    { name: "console-ramoops-0", text: "not a crash" },
  ];
  assert.deepEqual(joinCrashes(files), [
    { name: "Panic#1", text: "first line\nlast call\nKernel panic\n---[ end\n" },
    { name: "Oops#1", text: "unable to handle\n" },
  ]);
});

test("joinCrashes keeps the end of a long log, and nothing that a terminal would obey", () => {
  const long = `Panic#1 Part1\n${"x".repeat(crashTextMax)}\u001b[2Jend\n`;
  const [crash] = joinCrashes([{ name: "dmesg-1", text: long }]);
  assert.equal(crash?.text.length, crashTextMax);
  assert.match(crash?.text ?? "", /x\?\[2Jend\n$/);
  assert.deepEqual(joinCrashes([{ name: "dmesg-2", text: "no head" }]), [
    { name: "dmesg-2", text: "no head\n" },
  ]);
});

test("printOfCrash tells records apart by name and by text", () => {
  const file = { name: "dmesg-ramoops-0", text: "Panic#1 Part1\n" };
  const others = [
    { ...file, name: "dmesg-ramoops-1" },
    { ...file, text: "Panic#2 Part1\n" },
  ];
  const prints = new Set([file, ...others].map(printOfCrash));
  assert.equal(prints.size, 3);
  assert(prints.has(printOfCrash({ ...file })));
});
