/** Booting once and coming back, on a folder that looks like a machine's firmware. */
import assert from "node:assert/strict";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MemoryDisk } from "../block/index.ts";
import { partitionTypes } from "../disk/index.ts";
import { RpcError } from "../rpc/index.ts";
import { entryDescription } from "./boot-once.ts";
import { encodeLoadOption, encodeNumbers, parseLoadOption, parseNumbers } from "./boot-option.ts";
import type { BootOnceRequest } from "./driver-boot-control.ts";
import { bootLater } from "./driver-boot-later.ts";
import { at, diskWith, Machine, mebibyte, partUuid, request } from "./driver-boot-samples.ts";

const end = Uint8Array.of(0x7f, 0xff, 4, 0);

test("prepare writes an entry, BootNext and a note; the next boot takes them away", async () => {
  await using machine = await Machine.make();
  const prepared = await machine.control().prepare(await request());
  assert.equal(prepared.entry, "0000");
  assert.equal(prepared.partUuid, partUuid);
  assert.match(prepared.path, /^\\EFI\\BOOT\\BOOT\w+\.EFI$/);
  assert.equal(parseLoadOption(await machine.get("Boot0000"))?.description, entryDescription);
  assert.deepEqual(parseNumbers(await machine.get("BootNext")), [0]);
  assert.deepEqual(parseNumbers(await machine.get("BootOrder")), [1, 2]);

  await machine.reset(7);
  const logged: string[] = [];
  const { lastRun } = await machine.control(logged).state();
  assert.equal(lastRun?.run, "6c0f57bd-7e5c");
  assert.equal(lastRun.boots, 2);
  assert.equal(lastRun.bootOrder.outcome, "same");
  assert.deepEqual(lastRun.problems, []);
  assert.match(
    logged.join(),
    /^run-returned .*"boots":2,"order":"same","crashes":0,"booted":"yes"/,
  );
  assert.deepEqual(await machine.names(), ["Boot0001", "BootCurrent", "BootOrder", "MTC"]);
  // A daemon that is started again has nothing to do, and knows.
  assert.deepEqual((await machine.control().state()).lastRun, lastRun);
});

test("the box restores a boot order, takes crashes of this run, and says what was lost", async () => {
  await using machine = await Machine.make();
  await machine.control().prepare(await request());
  await machine.put("BootOrder", encodeNumbers([7, 0, 1, 2]));
  await machine.put("Boot0000", encodeLoadOption({ attributes: 1, description: "x", path: end }));
  const pstore = join(machine.root, "sys/fs/pstore");
  await mkdir(pstore, { recursive: true });
  await writeFile(join(pstore, "dmesg-efi_pstore-1"), "Panic#1 Part1\nKernel panic\n");
  await machine.reset(7);
  const { lastRun } = await machine.control().state();
  assert.deepEqual(lastRun?.bootOrder, {
    outcome: "restored",
    wanted: ["0001", "0002"],
    found: ["0007", "0000", "0001", "0002"],
  });
  assert.deepEqual(parseNumbers(await machine.get("BootOrder")), [1, 2]);
  assert.deepEqual(lastRun.crashes, [{ name: "Panic#1", text: "Kernel panic\n" }]);
  assert.deepEqual(await readdir(pstore), []);
  assert.deepEqual(lastRun.problems, ["The boot entry Boot0000 was lost or overwritten."]);
});

test("the system under test, if it is a box too, leaves all of it where it is", async () => {
  await using machine = await Machine.make();
  await machine.control().prepare(await request());
  await machine.reset(6);
  await machine.put("BootCurrent", encodeNumbers([0]));
  const state = await machine.control().state();
  assert.equal(state.underTest, "6c0f57bd-7e5c");
  assert.equal(state.lastRun, null);
  assert((await machine.names()).includes("DiskomatorRun"));
});

interface Refusal {
  readonly name: string;
  readonly setUp?: (machine: Machine) => Promise<void>;
  readonly request: () => Promise<BootOnceRequest>;
  readonly code: string;
  readonly reason: string;
  readonly message: RegExp;
}

const refusals: readonly Refusal[] = [
  {
    name: "a box that would not come back",
    setUp: (machine) => machine.put("BootCurrent", encodeNumbers([3])),
    request: () => request(),
    ...{
      code: "refused",
      reason: "no-comeback",
      message: /Boot0003, which is not in the boot order/,
    },
  },
  {
    name: "a disk without a partition table",
    request: () => request({ device: new MemoryDisk({ sizeBytes: 8 * mebibyte }) }),
    code: "refused",
    reason: "no-loader",
    message: /no GUID partition table/,
  },
  {
    name: "a disk without an EFI system partition",
    request: async () => request({ device: await diskWith([], partitionTypes.linuxData) }),
    code: "refused",
    reason: "no-loader",
    message: /no EFI system partition/,
  },
  {
    name: "an EFI system partition without a loader",
    request: async () => request({ device: await diskWith(["README"]) }),
    code: "refused",
    reason: "no-loader",
    message: /partition 1: neither \\EFI\\BOOT\\BOOT/,
  },
  {
    name: "a disk whose twin is there",
    request: () => request({ others: ["sdb"] }),
    ...{
      code: "refused",
      reason: "ambiguous",
      message: /sdb has a partition of the same PARTUUID/,
    },
  },
  {
    name: "firmware that does not take BootNext",
    setUp: (machine) => machine.block("BootNext"),
    request: () => request(),
    ...{
      code: "failed",
      reason: "refused",
      message: /refuses the variable BootNext.*Nothing was ch/,
    },
  },
  {
    name: "a machine that a BIOS booted",
    setUp: (machine) => rm(join(machine.root, "sys"), { recursive: true }),
    request: () => request({ noReturn: true }),
    code: "failed",
    reason: "no-efi",
    message: /no EFI variables: it was booted by a BIOS/,
  },
];

for (const { name, setUp, request: make, code, reason, message } of refusals) {
  test(`prepare refuses ${name}, and changes nothing`, async () => {
    await using machine = await Machine.make();
    await setUp?.(machine);
    await assert.rejects(machine.control().prepare(await make()), (error) => {
      assert.ok(error instanceof RpcError, String(error));
      assert.equal(error.code, code, error.message);
      assert.equal(error.facts.reason, reason);
      assert.match(error.message, message);
      return true;
    });
    const names = await machine.names().catch((): string[] => []);
    assert(!names.includes("DiskomatorRun") && !names.includes("Boot0000"), names.join());
  });
}

test("prepare finds the one kernel of \\EFI\\Linux where there is no usual loader", async () => {
  await using machine = await Machine.make();
  const device = await diskWith(["EFI/Linux/my-os.efi"]);
  const { path } = await machine.control().prepare(await request({ device }));
  assert.equal(path, "\\EFI\\Linux\\MY-OS.EFI");
});

test("prepare boots a disk that nobody comes back from when it is told so", async () => {
  await using machine = await Machine.make();
  await machine.put("BootCurrent", encodeNumbers([3]));
  const { comeback } = await machine.control().prepare(await request({ noReturn: true }));
  assert.equal(comeback.certain, false);
});

test("bootLater sets the firmware right by itself, and only where there is a note", async () => {
  await using machine = await Machine.make();
  const logged: string[] = [];
  const found = Promise.withResolvers<void>();
  const note = (event: string) => {
    logged.push(event);
    found.resolve();
  };
  const quiet = bootLater(machine.root, note, () => at);
  await quiet.prepare(await request());
  assert.deepEqual(logged, []);
  await machine.reset(7);
  const back = bootLater(machine.root, note, () => at);
  await found.promise;
  assert.deepEqual(logged, ["run-returned"]);
  assert.equal((await back.state()).lastRun?.run, "6c0f57bd-7e5c");
});
