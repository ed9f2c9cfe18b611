import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findUse, kernelNameOf, useOfDevice, usersOf } from "./disk-use.ts";

const nodes = [
  { name: "sda", number: "8:0" },
  { name: "sda1", number: "8:1" },
];
const other = "21 1 8:17 / /srv rw,relatime shared:1 - ext4 /dev/sdb1 rw";
const swapHead = "Filename\tType\tSize\tUsed\tPriority";

const table: readonly (readonly [what: string, mountinfo: string, swaps: string, use?: string])[] =
  [
    ["nothing", other, swapHead],
    ["a device whose name begins the same", "9 1 65:1 / /x rw - ext4 /dev/sda12 rw", swapHead],
    ["a partition", `${other}\n9 1 8:1 / /home rw - ext4 /dev/sda1 rw`, "", "mounted at /home"],
    ["the root that the kernel mounted", "9 1 8:1 / / rw - ext4 /dev/root rw", "", "mounted at /"],
    ["a link", "9 1 8:0 / /a rw - ext4 /dev/disk/by-uuid/1f rw", "", "mounted at /a"],
    ["btrfs", "9 1 0:31 / /b rw - btrfs /dev/sda1 rw", "", "mounted at /b"],
    [
      "a place with a blank",
      "9 1 8:1 / /my\\040disk rw - vfat /dev/sda1 rw",
      "",
      "mounted at /my disk",
    ],
    ["swap", other, `${swapHead}\n/dev/sda1 partition 1048572 0 -2`, "swap"],
  ];

test("findUse knows a disk by its number, and by its name where it has another number", () => {
  for (const [what, mountinfo, swaps, use] of table) {
    assert.equal(findUse(nodes, { mountinfo, swaps }), use, what);
  }
});

test("useOfDevice takes no table that it cannot read for an empty one", async () => {
  const root = await mkdtemp(join(tmpdir(), "diskomator-use-"));
  const tables = ["proc/self/mountinfo", "proc/swaps", "sys/class/block/sda/holders"];
  try {
    await mkdir(join(root, "sys/class/block/sda/sda1"), { recursive: true });
    assert.equal(await useOfDevice("sda", root), undefined, "no table is there");
    await mkdir(join(root, "sys/class/block/sda1/holders/dm-0"), { recursive: true });
    assert.equal(await useOfDevice("sda", root), "beneath dm-0");
    for (const table of tables) {
      // A folder where a file should be, and a file where a folder should be.
      const path = join(root, table);
      if (table.endsWith("holders")) await writeFile(path, "");
      else await mkdir(path, { recursive: true });
      await assert.rejects(useOfDevice("sda", root), /Cannot find out whether sda is in use: /);
      await rm(path, { recursive: true });
    }
  } finally {
    await rm(root, { recursive: true });
  }
});

test("usersOf says which loop device a file is behind", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-use-"));
  const path = join(folder, "disk");
  try {
    await writeFile(path, "");
    await truncate(path, 2 ** 20);
    assert.equal(await usersOf(path), undefined);
    assert.equal(await kernelNameOf(path), undefined);
    const { status, stdout, stderr } = spawnSync("losetup", ["--find", "--show", path], {
      encoding: "utf8",
    });
    if (status !== 0) return t.skip(`no loop device here: ${stderr ?? "losetup is missing"}`);
    const loop = stdout.trim();
    try {
      assert.equal(await usersOf(path), `behind ${loop}`);
      assert.equal(`/dev/${await kernelNameOf(loop)}`, loop);
      assert.equal(await usersOf(loop), undefined);
    } finally {
      spawnSync("losetup", ["--detach", loop]);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
