/** Starting the kernel of a disk's image, on a folder that looks like a machine. */
import assert from "node:assert/strict";
import { chmod, readdir, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { openFat } from "../disk/index.ts";
import { sampleProgram } from "../disk/testing/program-sample.ts";
import { RpcError } from "../rpc/index.ts";
import { noteName, noteVendor } from "./efi-names.ts";
import { diskWith, Machine, mebibyte, request } from "./testing/driver-boot-samples.ts";

/** A box that can start kernels, and the program with which it does. */
class KexecMachine implements AsyncDisposable {
  readonly machine: Machine;
  readonly #path = process.env.PATH ?? "";

  static async make(exitCode = 0): Promise<KexecMachine> {
    const box = new KexecMachine(await Machine.make());
    const { machine } = box;
    const told = `$0.log`;
    const program = [
      "#!/bin/sh",
      `printf '%s\\n' "$@" >> "${told}"`,
      `for word in "$@"; do case $word in`,
      `  /*/kernel) cp "$word" "$0.kernel" ;;`,
      `  --initrd=*) cp "\${word#*=}" "$0.initrd" ;;`,
      `esac; done`,
      `test ${exitCode} = 0 || echo "kexec_file_load failed: Exec format error" >&2`,
      `exit ${exitCode}`,
    ];
    await machine.say("bin/kexec", `${program.join("\n")}\n`);
    await chmod(join(machine.root, "bin/kexec"), 0o755);
    process.env.PATH = [join(machine.root, "bin"), box.#path].join(delimiter);
    await machine.say("sys/kernel/kexec_loaded", "0\n");
    await machine.say("proc/sys/kernel/bootloader_type", "33\n");
    await machine.say("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:     500000 kB\n");
    return box;
  }

  private constructor(machine: Machine) {
    this.machine = machine;
  }

  /** What the program was given: its parameters, or the files that they name. */
  async given(what: "log" | "kernel" | "initrd"): Promise<string> {
    return await readFile(join(this.machine.root, `bin/kexec.${what}`), "latin1").catch(() => "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.env.PATH = this.#path;
    await this.machine[Symbol.asyncDispose]();
  }
}

const bytes = (text: string) => new TextEncoder().encode(text);
const skip = process.arch === "x64" ? false : "boxes start kernels on x64 only";
const loader = "EFI/BOOT/BOOTX64.EFI";

/** As long as a real one's beginning, with what it says of itself. */
function bzImage(): Uint8Array {
  const file = new Uint8Array(0x1000).fill(0x4b);
  const view = new DataView(file.buffer);
  file.set(bytes("HdrS"), 0x202);
  view.setUint16(0x206, 0x20f, true);
  view.setUint16(0x236, 3, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x260, 1000, true);
  return file;
}

const kernel = bzImage();
const uki = sampleProgram({
  sections: [
    [".cmdline", bytes("root=tmpfs quiet\n")],
    [".ucode", bytes("micro")],
    [".linux", kernel],
    [".initrd", bytes("initrd of the image")],
  ],
});
const menu = sampleProgram({
  sections: [[".sbat", bytes("sbat,1,x,sbat,1,x\nsystemd-boot,1,x,systemd,257.13,x\n")]],
});
const foreign = sampleProgram({ machine: 0xaa64, sections: [[".linux", kernel]] });

test("prepare with kexec loads kernel, microcode and initrd, and writes the note alone", {
  skip,
}, async () => {
  await using box = await KexecMachine.make();
  const { machine } = box;
  const device = await diskWith({ [loader]: uki });
  const prepared = await machine.control().prepare(await request({ device, kexec: true }));
  const { entry, path, kexec } = prepared;
  assert.deepEqual([entry, path], [null, "\\EFI\\BOOT\\BOOTX64.EFI"]);
  const initrdBytes = 8 + "initrd of the image".length;
  const commandLine = "root=tmpfs quiet";
  assert.deepEqual(kexec, { passedOver: null, commandLine, kernelBytes: 4096, initrdBytes });
  const words = (await box.given("log")).split("\n");
  assert.deepEqual(words.slice(0, 2), ["--kexec-file-syscall", "--load"]);
  assert.equal(words.at(-2), "--command-line=root=tmpfs quiet");
  assert.equal(await box.given("kernel"), Buffer.from(kernel).toString("latin1"));
  assert.equal(await box.given("initrd"), "micro\0\0\0initrd of the image");
  assert.deepEqual(await readdir(join(machine.root, "tmp")), []);
  const variables = ["Boot0001", "Boot0002", "BootCurrent", "BootOrder", "DiskomatorRun", "MTC"];
  assert.deepEqual(await machine.names(), variables);

  // The image's kernel runs, and is a box too.
  await machine.say("proc/sys/kernel/bootloader_type", "208\n");
  assert.equal((await machine.control().state()).underTest, "6c0f57bd-7e5c");
  await machine.say("proc/sys/kernel/bootloader_type", "33\n");
  await machine.reset(6);
  const { lastRun } = await machine.control().state();
  assert.deepEqual([lastRun?.kexec, lastRun?.boots, lastRun?.problems], [true, 1, []]);
  assert(!(await machine.names()).includes("DiskomatorRun"));
});

test("prepare with kexec takes the one kernel of \\EFI\\Linux beside a menu, and says so", {
  skip,
}, async () => {
  await using box = await KexecMachine.make();
  const device = await diskWith({ [loader]: menu, "EFI/Linux/my-os.efi": uki });
  const { path, kexec } = await box.machine
    .control()
    .prepare(await request({ device, kexec: true }));
  assert.equal(path, "\\EFI\\Linux\\MY-OS.EFI");
  const found = "\\EFI\\BOOT\\BOOTX64.EFI: it is systemd-boot 257.13 and has no kernel in it";
  assert.equal(kexec?.passedOver, found);
});

interface KexecRefusal {
  readonly name: string;
  readonly files?: Readonly<Record<string, Uint8Array>>;
  readonly setUp?: (machine: Machine) => Promise<void>;
  readonly exitCode?: number;
  readonly reason: string;
  readonly message: RegExp;
}

const kexecRefusals: readonly KexecRefusal[] = [
  {
    name: "under Secure Boot",
    setUp: (machine) => machine.put("SecureBoot", Uint8Array.of(1)),
    reason: "no-kexec",
    message: /Secure Boot is on.*Boot it by the firmware/,
  },
  {
    name: "where the kernel is locked down",
    setUp: (machine) => machine.say("sys/kernel/security/lockdown", "none [integrity]\n"),
    reason: "no-kexec",
    message: /locked down \(integrity\)/,
  },
  {
    name: "where loading is switched off",
    setUp: (machine) => machine.say("proc/sys/kernel/kexec_load_disabled", "1\n"),
    reason: "no-kexec",
    message: /kexec_load_disabled/,
  },
  {
    name: "on a box that another system started",
    setUp: (machine) => machine.say("proc/sys/kernel/bootloader_type", "208\n"),
    reason: "no-comeback",
    message: /started by another system/,
  },
  {
    name: "with too little memory",
    setUp: (machine) => machine.say("proc/meminfo", "MemAvailable:   60000 kB\n"),
    reason: "memory",
    message: /kernel has 1 MiB .* takes 65 MiB of memory, and the box has 59 MiB free/,
  },
  {
    name: "of an image with a menu alone",
    files: { [loader]: menu },
    reason: "no-uki",
    message: /BOOTX64\.EFI: it is systemd-boot 257\.13 and has no kernel.*menus of loaders are not/,
  },
  {
    name: "of an image with a menu and two kernels",
    files: { [loader]: menu, "EFI/Linux/a.efi": uki, "EFI/Linux/b.efi": uki },
    reason: "no-uki",
    message:
      /no kernel in it; there are 2 to choose from \(\\EFI\\Linux\\\S+, \\EFI\\Linux\\\S+\), .*leave one/,
  },
  {
    name: "for another machine",
    files: { [loader]: foreign },
    reason: "no-uki",
    message: /BOOTX64\.EFI: it is for another kind of machine: 64-bit ARM, not x86-64/,
  },
  {
    name: "that is no program",
    files: { [loader]: bytes("#!/bin/sh\n"), "EFI/Linux/a.efi": bytes("MZ") },
    reason: "no-uki",
    message: /BOOTX64\.EFI: it is too short; \\EFI\\Linux\\A\.EFI: it is too short/,
  },
  {
    name: "that the kernel does not take",
    exitCode: 1,
    reason: "kexec",
    message: /kexec_file_load failed: Exec format error.*Nothing was booted/,
  },
];

for (const { name, files, setUp, exitCode, reason, message } of kexecRefusals) {
  test(`prepare refuses kexec ${name}, and leaves nothing`, { skip }, async () => {
    await using box = await KexecMachine.make(exitCode);
    const { machine } = box;
    await setUp?.(machine);
    const device = await diskWith(files ?? { [loader]: uki });
    const prepare = machine.control().prepare(await request({ device, kexec: true }));
    await assert.rejects(prepare, (error) => {
      assert.ok(error instanceof RpcError, String(error));
      assert.equal(error.facts.reason, reason, error.message);
      assert.match(error.message, message);
      return true;
    });
    assert.equal((await box.given("log")) === "", reason !== "kexec");
    assert.deepEqual(await readdir(join(machine.root, "tmp")).catch(() => []), []);
    assert(!(await machine.names()).includes("DiskomatorRun"));
  });
}

test("prepare refuses kexec of a loader whose clusters lead nowhere", { skip }, async () => {
  await using box = await KexecMachine.make();
  const device = await diskWith({ [loader]: uki });
  const volume = await openFat(device, mebibyte);
  assert(volume.ok);
  const { fatOffset, entryBytes, clusters } = volume.value.boot;
  // The first cluster of each chain stays: folders have one.
  const table = new Uint8Array(Math.ceil((clusters * entryBytes) / 512) * 512);
  await device.read(mebibyte + fatOffset, table);
  const view = new DataView(table.buffer);
  for (let n = 2; n < clusters; n++) {
    const next = view.getUint16(n * entryBytes, true);
    if (next === n + 1) view.setUint16(n * entryBytes, 1, true);
  }
  await device.write(mebibyte + fatOffset, table);
  const prepare = box.machine.control().prepare(await request({ device, kexec: true }));
  await assert.rejects(prepare, /BOOTX64\.EFI cannot be read \(chain-leaves-volume\)/);
  assert.equal(await box.given("log"), "");
});

test("prepare takes a kernel back when the note cannot be kept", { skip }, async () => {
  await using box = await KexecMachine.make();
  const { machine } = box;
  await machine.block(noteName, noteVendor);
  const device = await diskWith({ [loader]: uki });
  const prepare = machine.control().prepare(await request({ device, kexec: true }));
  await assert.rejects(prepare, /refuses the variable DiskomatorRun/);
  assert.match(await box.given("log"), /--unload\n$/);
});

test("state tells what is in the way of kexec", { skip }, async () => {
  await using box = await KexecMachine.make();
  const { machine } = box;
  assert.equal((await machine.control().state()).kexecObstacle, null);
  await machine.put("SecureBoot", Uint8Array.of(1));
  assert.match((await machine.control().state()).kexecObstacle ?? "", /Secure Boot/);
});
