/** Where a disk is, from a folder that looks like /sys. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { readDiskPlace } from "./driver-disk-place.ts";

const controller = "/devices/pci0000:00/0000:00:01.1/0000:01:00.0/nvme/nvme0";
const disk = `${controller}/nvme0n1`;
const subsystem = "/devices/virtual/nvme-subsystem/nvme-subsys0";
const ata = "/devices/pci0000:00/0000:00:1f.2/ata7";
const uid = { "/devices/pci0000:00/firmware_node/uid": "0\n" };
const eui = Uint8Array.of(0, 0x25, 0x38, 0x5b, 0x71, 0xb0, 0xa3, 0xf1);

const rows: readonly [
  name: string,
  path: string,
  files: Readonly<Record<string, string>>,
  place: Partial<ReturnType<typeof readDiskPlace>>,
][] = [
  [
    "NVMe with an EUI-64",
    disk,
    { ...uid, [`${disk}/nsid`]: "1\n", [`${disk}/eui`]: "00 25 38 5b 71 b0 a3 f1\n" },
    { devicePath: disk, rootUid: 0, nvme: { nsid: 1, eui }, ataPort: null },
  ],
  [
    "NVMe that has an NGUID and no EUI-64",
    disk,
    { [`${disk}/nsid`]: "2\n", [`${disk}/nguid`]: "x\n" },
    { rootUid: null, nvme: { nsid: 2, eui: new Uint8Array(8) } },
  ],
  [
    "NVMe that the kernel distrusts",
    disk,
    { [`${disk}/nsid`]: "1\n" },
    { nvme: { nsid: 1, eui: null } },
  ],
  [
    "SATA, whose ports the kernel counts from one",
    `${ata}/host6/target6:0:0/6:0:0:0/block/sda`,
    { ...uid, [`${ata}/ata_port/ata7/port_no`]: "3\n" },
    { nvme: null, ataPort: 2 },
  ],
  [
    "a root whose _UID is a text",
    disk,
    { "/devices/pci0000:00/firmware_node/uid": "PC00\n" },
    { rootUid: null },
  ],
];

async function machineWith(files: Readonly<Record<string, string>>) {
  const root = await mkdtemp(join(tmpdir(), "diskomator-place-"));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(root, "sys", dirname(path)), { recursive: true });
    await writeFile(join(root, "sys", path), text);
  }
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true }) };
}

for (const [name, path, files, wanted] of rows) {
  test(`readDiskPlace: ${name}`, async () => {
    await using machine = await machineWith({ "/x": "", ...files });
    const found = readDiskPlace(machine.root, path);
    assert.deepEqual({ ...found, ...wanted }, found);
  });
}

test("readDiskPlace follows a multipath disk to its controller, if it has only one", async () => {
  const head = `${subsystem}/nvme0n1`;
  await using machine = await machineWith({
    [`${controller}/cntlid`]: "",
    [`${head}/nsid`]: "1\n",
  });
  const link = (name: string) => {
    return symlink(
      join(machine.root, "sys", controller),
      join(machine.root, "sys", subsystem, name),
    );
  };
  await link("nvme0");
  const found = readDiskPlace(machine.root, head);
  assert.equal(found.devicePath, disk);
  assert.equal(found.nvme?.nsid, 1);
  await link("nvme1");
  assert.equal(readDiskPlace(machine.root, head).devicePath, head);
});
