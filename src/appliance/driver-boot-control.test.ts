/** Booting once and coming back, on a folder that looks like a machine's firmware. */
import assert from "node:assert/strict";
import { mkdir, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MemoryDisk } from "../block/index.ts";
import { partitionTypes } from "../disk/index.ts";
import { RpcError } from "../rpc/index.ts";
import { entryDescription } from "./boot-once.ts";
import {
  encodeLoadOption,
  encodeNumbers,
  parseLoadOption,
  parseNumbers,
  partitionOf,
} from "./boot-option.ts";
import type { BootOnceRequest } from "./driver-boot-control.ts";
import { bootLater } from "./driver-boot-later.ts";
import {
  at,
  diskWith,
  Machine,
  mebibyte,
  nvmePath,
  partUuid,
  request,
} from "./testing/driver-boot-samples.ts";

const hourBefore = new Date(at.getTime() - 3_600_000);
const end = Uint8Array.of(0x7f, 0xff, 4, 0);

/** What the machine's firmware has before and after a run. */
const firstNames = ["Boot0001", "Boot0002", "BootCurrent", "BootOrder", "MTC"];

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
  assert.deepEqual(await machine.names(), firstNames);
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
  // The clock of the system under test is an hour late.
  const dump = join(pstore, "dmesg-efi_pstore-1");
  await writeFile(dump, "Panic#1 Part1\nKernel panic\n");
  await utimes(dump, hourBefore, hourBefore);
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
  assert.equal(lastRun.entryLost, true);
});

test("records of crashes that were there before stay, whatever the clock says", async () => {
  await using machine = await Machine.make();
  const dump = "sys/fs/pstore/dmesg-efi_pstore-1";
  await machine.say(dump, "Panic#1 Part1\nof something else\n");
  await machine.control().prepare(await request());
  await utimes(join(machine.root, dump), new Date(), new Date());
  await machine.reset(7);
  const { lastRun } = await machine.control().state();
  assert.deepEqual(lastRun?.crashes, []);
  assert.deepEqual(await readdir(join(machine.root, "sys/fs/pstore")), ["dmesg-efi_pstore-1"]);
});

test("a boot order stays as the user has set it since the box was left for good", async () => {
  await using machine = await Machine.make();
  await machine.control().prepare(await request({ noReturn: true }));
  await machine.put("BootOrder", encodeNumbers([2, 1]));
  await machine.reset(40);
  const { lastRun } = await machine.control().state();
  assert.equal(lastRun?.bootOrder.outcome, "kept");
  assert.deepEqual(parseNumbers(await machine.get("BootOrder")), [2, 1]);
  assert.deepEqual(await machine.names(), firstNames);
});

test("an entry that is appended for the run stands last in the order, and is taken out of it", async () => {
  await using machine = await Machine.make();
  await machine.control().prepare(await request({ appendEntry: true }));
  assert.deepEqual(parseNumbers(await machine.get("BootOrder")), [1, 2, 0]);
  await machine.reset(7);
  const { lastRun } = await machine.control().state();
  assert.equal(lastRun?.bootOrder.outcome, "same");
  assert.equal(lastRun.appendEntry, true);
  assert.deepEqual(parseNumbers(await machine.get("BootOrder")), [1, 2]);
});

test("an entry that an earlier run has left in the order is none of its entries", async () => {
  await using machine = await Machine.make();
  const left = { attributes: 1, description: entryDescription, path: end };
  await machine.put("Boot0007", encodeLoadOption(left));
  await machine.put("BootOrder", encodeNumbers([1, 7, 2]));
  const { entry } = await machine.control().prepare(await request());
  assert.equal(entry, "0007");
  await machine.reset(7);
  const { lastRun } = await machine.control().state();
  assert.deepEqual(lastRun?.problems, []);
  assert.deepEqual(parseNumbers(await machine.get("BootOrder")), [1, 2]);
  assert.deepEqual(await machine.names(), firstNames);
});

test("prepare refuses a second run while the first begins, and takeBack leaves nothing of it", async () => {
  await using machine = await Machine.make();
  const control = machine.control();
  const [first, second] = await Promise.allSettled([
    control.prepare(await request()),
    control.prepare(await request({ run: "another-run" })),
  ]);
  assert.equal(first.status, "fulfilled");
  assert.match(String(second.status === "rejected" && second.reason), /is about to boot nvme0n1/);
  assert((await machine.names()).includes("BootNext"));
  await control.takeBack();
  assert.deepEqual(await machine.names(), firstNames);
  await control.prepare(await request());
});

test("takeBack says what it could not set back", async () => {
  await using machine = await Machine.make();
  const logged: string[] = [];
  const control = machine.control(logged);
  await control.prepare(await request());
  await machine.hide("BootNext");
  assert.match(await control.takeBack(), /could not be set back.*: BootNext\.$/);
  assert(!(await machine.names()).includes("DiskomatorRun"));
  assert.match(logged.join(), /problem .*BootNext/);
});

/** How the machine's own option for the disk begins: ACPI root, two PCI functions, a namespace. */
const diskPath = Buffer.from(
  "02010c00d041030a00000000 010106000101 010106000000 0317100001000000 0000000000000000".replaceAll(
    " ",
    "",
  ),
  "hex",
);

async function knowDisk(machine: Machine): Promise<void> {
  await machine.say("sys/devices/pci0000:00/firmware_node/uid", "0\n");
  await machine.say(`sys${nvmePath}/nsid`, "1\n");
  const path = Buffer.concat([diskPath, end]);
  await machine.put("Boot0002", encodeLoadOption({ attributes: 1, description: "disk", path }));
}

test("prepare names the disk by its full path where it is known, and twins are no matter then", async () => {
  await using machine = await Machine.make();
  await knowDisk(machine);
  const prepared = await machine.control().prepare(await request({ others: ["sdb"] }));
  assert.equal(prepared.devicePath, "full");
  assert.deepEqual(prepared.twins, ["sdb"]);
  const { path } = parseLoadOption(await machine.get("Boot0000"))!;
  assert.deepEqual(Buffer.from(path.subarray(0, diskPath.length)), diskPath);
  assert.equal(partitionOf(path), partUuid);
});

test("a full path by which nothing was booted is not tried twice in a row", async () => {
  await using machine = await Machine.make();
  await knowDisk(machine);
  await machine.control().prepare(await request());
  await machine.reset(6);
  const control = machine.control();
  assert.equal((await control.state()).lastRun?.devicePath, "full");
  assert.equal((await control.prepare(await request())).devicePath, "short");
});

test("state and prepare say which variable the firmware does not give", async () => {
  await using machine = await Machine.make();
  await machine.hide("BootOrder");
  const control = machine.control();
  const { comeback } = await control.state();
  assert.deepEqual(comeback, {
    certain: false,
    text: "the firmware does not give its variable BootOrder",
  });
  const prepare = control.prepare(await request({ noReturn: true }));
  await assert.rejects(prepare, /Cannot read the EFI variable BootOrder.*Nothing was changed/);
});

test("the system under test, if it is a box too, leaves all of it where it is", async () => {
  await using machine = await Machine.make();
  await machine.control().prepare(await request());
  await machine.reset(6);
  await machine.put("BootCurrent", encodeNumbers([0]));
  await machine.loadFrom(partUuid);
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
