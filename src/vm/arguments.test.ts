import assert from "node:assert/strict";
import test from "node:test";
import { type MachineHost, planNic, qemuArguments } from "./arguments.ts";
import { VmError } from "./error.ts";
import type { VmOptions } from "./options.ts";

const host: MachineHost = {
  accelerator: "tcg,thread=multi",
  cpus: 2,
  firmware: { codePath: "/fw/code.fd", variablesPath: "/run/variables.fd" },
  qmpFd: 3,
  serialFd: 4,
};

/** The values that follow a flag. */
function valuesOf(flag: string, args: readonly string[]): string[] {
  return args.flatMap((arg, index) => (args[index - 1] === flag ? [arg] : []));
}

function devicesOf(args: readonly string[]): Record<string, unknown>[] {
  return valuesOf("-device", args).map((text) => JSON.parse(text) as Record<string, unknown>);
}

const table: { name: string; options: VmOptions; flag: string; values: string[] }[] = [
  {
    name: "a name with a comma is escaped",
    options: { name: "a,b" },
    flag: "-name",
    values: ["a,,b"],
  },
  { name: "memory has a default", options: {}, flag: "-m", values: ["1024M"] },
  { name: "memory is taken in MiB", options: { memoryMiB: 640 }, flag: "-m", values: ["640M"] },
  { name: "no display by default", options: {}, flag: "-display", values: ["none"] },
  {
    name: "channels are inherited file descriptors",
    options: { serialLogPath: "/log,1" },
    flag: "-chardev",
    values: ["socket,id=qmp,fd=3", "socket,id=serial,fd=4,logfile=/log,,1,logappend=off"],
  },
  {
    name: "a UUID that follows from the name",
    options: { name: "vm" },
    flag: "-smbios",
    values: ["type=1,uuid=ba21fafb-7f4e-8c75-80f4-15630a3cafb6"],
  },
  {
    name: "SMBIOS system and OEM strings, the kernel command line last",
    options: {
      smbios: { uuid: "00000000-0000-0000-0000-000000000001", serial: "a,b", strings: ["x=1"] },
      extraKernelCommandLine: "console=ttyS0,115200 quiet",
    },
    flag: "-smbios",
    values: [
      "type=1,serial=a,,b,uuid=00000000-0000-0000-0000-000000000001",
      "type=11,value=x=1," +
        "value=io.systemd.stub.kernel-cmdline-extra=console=ttyS0,,115200 quiet",
    ],
  },
  {
    name: "each network kind, each with its own subnet",
    options: {
      nics: [
        { network: { kind: "user" } },
        { network: { kind: "user", isolated: true } },
        { network: { kind: "link", localPath: "/l/a", remotePath: "/l/b" } },
        { network: { kind: "tap", interfaceName: "tap7" } },
      ],
    },
    flag: "-netdev",
    values: [
      "user,id=net0,net=10.0.2.0/24",
      "user,id=net1,net=10.0.3.0/24,restrict=on",
      "dgram,id=net2,local.type=unix,local.path=/l/a,remote.type=unix,remote.path=/l/b",
      "tap,id=net3,ifname=tap7,script=no,downscript=no",
    ],
  },
  {
    name: "a capture is a filter on the card's network",
    options: { nics: [{ network: { kind: "user" }, pcapPath: "/a.pcap" }] },
    flag: "-object",
    values: [
      '{"qom-type":"filter-dump","id":"dump0","netdev":"net0","file":"/a.pcap","maxlen":131072}',
    ],
  },
  {
    name: "the firmware's code is read-only, its variables are not",
    options: {},
    flag: "-blockdev",
    values: [
      '{"driver":"raw","node-name":"firmware-code","read-only":true,' +
        '"file":{"driver":"file","filename":"/fw/code.fd"}}',
      '{"driver":"raw","node-name":"firmware-variables","read-only":false,' +
        '"file":{"driver":"file","filename":"/run/variables.fd"}}',
    ],
  },
];

for (const { name, options, flag, values } of table) {
  test(`qemuArguments: ${name}`, () => {
    assert.deepEqual(valuesOf(flag, qemuArguments(options, host)), values);
  });
}

test("qemuArguments: the CPU follows the accelerator", () => {
  assert.deepEqual(valuesOf("-cpu", qemuArguments({}, host)), ["max,-cx16"]);
  assert.deepEqual(valuesOf("-cpu", qemuArguments({}, { ...host, accelerator: "kvm" })), ["host"]);
});

test("qemuArguments: only a machine that is to end at a reset gets -no-reboot", () => {
  assert.ok(qemuArguments({ exitOnReset: true }, host).includes("-no-reboot"));
  assert.ok(!qemuArguments({}, host).includes("-no-reboot"));
});

test("qemuArguments: every machine has free ports, a USB and a SCSI controller", () => {
  const drivers = devicesOf(qemuArguments({ sparePorts: 2 }, host)).map((device) => device.driver);
  assert.deepEqual(drivers, ["pcie-root-port", "pcie-root-port", "qemu-xhci", "virtio-scsi-pci"]);
});

test("qemuArguments: cards of different machines and places differ in their MAC address", () => {
  const nics = [{ network: { kind: "user" } }, { network: { kind: "user" } }] as const;
  const macs = ["a", "b"].flatMap((name) =>
    devicesOf(qemuArguments({ name, nics }, host)).flatMap((device) => device.mac ?? []),
  );
  assert.equal(new Set(macs).size, 4);
  for (const mac of macs) assert.match(String(mac), /^52:54:00(:[0-9a-f]{2}){3}$/);
});

test("planNic: QMP's form of a network has values, not text", () => {
  const { netdev } = planNic("vm", { network: { kind: "user", isolated: true } }, 2);
  assert.deepEqual(netdev, { type: "user", id: "net2", net: "10.0.4.0/24", restrict: true });
});

test("qemuArguments: a USB card has no option ROM to switch off", () => {
  const nics = [
    { network: { kind: "user" }, model: "usb", macAddress: "02:00:00:00:00:01" },
  ] as const;
  assert.deepEqual(devicesOf(qemuArguments({ nics }, host)).at(-1), {
    driver: "usb-net",
    id: "nic0",
    netdev: "net0",
    mac: "02:00:00:00:00:01",
    bus: "usb.0",
  });
});

test("qemuArguments refuses two disks of one name", () => {
  const disks = [
    { id: "a", kind: "nvme", path: "/1" },
    { id: "a", kind: "usb", path: "/2" },
  ] as const;
  assert.throws(
    () => qemuArguments({ disks }, host),
    (error) =>
      error instanceof VmError && error.code === "options" && /two disks/.test(error.message),
  );
});
