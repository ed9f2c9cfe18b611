/** The screen as text. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { takeInventory } from "./inventory.ts";
import { connectLine, formatDecimalSize, renderScreen } from "./screen.ts";
import type { DiskRow, State } from "./state.ts";
import { nvmeFacts, sampleFacts, stickFacts, virtioFacts } from "./testing/facts-samples.ts";

const prefix = "nqn.2026-11.org.example:1a2b3c4d:";
const since = "2026-11-23T09:00:00.000Z";

function exported(facts: typeof nvmeFacts, disk: string): DiskRow {
  const state = { kind: "exported", nqn: `${prefix}${disk}`, uuid: "u", since, tookMs: 5 } as const;
  return { disk: takeInventory(facts), state };
}

const state: State = {
  format: 1,
  box: "1a2b3c4d",
  name: "lunch-feta",
  fullName: "lunch-feta-olive",
  version: "0.1.0",
  access: "open",
  readOnly: false,
  notice: null,
  grants: [],
  servicePort: 4420,
  addresses: [
    {
      interface: "eth0",
      address: "192.0.2.7",
      family: "IPv4",
      linkLocal: false,
      mac: "52:54:00:12:34:56",
    },
    {
      interface: "eth1",
      address: "fe80::1",
      family: "IPv6",
      linkLocal: true,
      mac: "52:54:00:12:34:56",
    },
  ],
  disks: [
    exported(nvmeFacts, "eui.0025385b71b0a3f1"),
    {
      disk: takeInventory(stickFacts),
      state: {
        kind: "not exported",
        reason: { code: "boot-medium", text: "this box booted from it" },
      },
    },
    {
      disk: takeInventory(virtioFacts),
      state: { kind: "failing", error: "cannot open the disk: it does not answer (EIO)" },
    },
    {
      disk: takeInventory(sampleFacts({ name: "loop0" })),
      state: { kind: "not exported", reason: { code: "loop", text: "memory of the box itself" } },
    },
  ],
  bootMedium: "sdb",
  problems: ["udevadm ended with 1; it is started again"],
  kernelMessages: ["nvmet: failed to open block device /dev/vda: (-5)"],
  startedAt: since,
  bootedAt: since,
};

const expected = `Diskomator 0.1.0   lunch-feta   box 1a2b3c4d
OPEN: everyone on this network can read and write the exported disks.
Addresses: 192.0.2.7 (eth0)  fe80::1 (eth1)
Boot medium: sdb
Disks: 3, exported: 1
! udevadm ended with 1; it is started again
kernel: nvmet: failed to open block device /dev/vda: (-5)

nvme0n1     1.1 GB  Samsung SSD 980 1TB  serial S5GXNX0R123456  exported
  nvme connect -t tcp -a 192.0.2.7 -s 4420 -n nqn.2026-11.org.example:1a2b3c4d:eui.0025385b71b0a3f1
sdb         1.1 GB  Ultra Fit  serial 4C530001230101117392  not exported: this box booted from it
vda         1.1 GB  virtio disk  FAILING: cannot open the disk: it does not answer (EIO)
`;

test("renderScreen shows everything where there is room", () => {
  assert.equal(renderScreen(state, { columns: 80, rows: null, colour: false }), expected);
  assert.equal(renderScreen(state, { columns: 160, rows: 50, colour: false }), expected);
});

test("renderScreen adds nothing but colours", () => {
  const coloured = renderScreen(state, { columns: 160, rows: 50, colour: true });
  assert.ok(coloured.includes("\x1b[1;31mOPEN: everyone"));
  const words = ["\x1b[1m", "\x1b[1;31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"];
  const plain = words.reduce((text, word) => text.replaceAll(word, ""), coloured);
  assert.equal(plain, expected);
});

function many(count: number): State {
  const disks = Array.from({ length: count }, (_, i) =>
    exported(
      { ...nvmeFacts, name: `nvme${i}n1` },
      `eui.00000000000000${String(i).padStart(2, "0")}`,
    ),
  );
  return { ...state, disks, problems: [], kernelMessages: [] };
}

test("renderScreen gives 32 disks a line each when they do not fit otherwise", () => {
  const text = renderScreen(many(32), { columns: 100, rows: 50, colour: false });
  const lines = text.trimEnd().split("\n");
  assert.ok(lines.length < 50);
  assert.equal(lines[6], `nvme connect -t tcp -a 192.0.2.7 -s 4420 -n ${prefix}DISK`);
  assert.equal(lines[7], "nvme0n1    1.1 GB  Samsung SSD 980 1TB   eui.0000000000000000");
  assert.equal(lines.at(-1), "nvme31n1   1.1 GB  Samsung SSD 980 1TB   eui.0000000000000031");
});

test("renderScreen names all of 32 disks on the smallest screen", () => {
  const text = renderScreen(many(32), { columns: 80, rows: 25, colour: false });
  const lines = text.trimEnd().split("\n");
  assert.ok(lines.length < 25 && lines.every(({ length }) => length <= 80));
  assert.match(text, /nvme connect-all -t tcp -a 192\.0\.2\.7 -s 4420/);
  for (let i = 0; i < 32; i++) {
    assert.match(text, new RegExp(`nvme${i}n1 `));
  }
});

test("renderScreen says so when there is no address and no disk yet", () => {
  const bare: State = { ...state, addresses: [], disks: [], problems: [], kernelMessages: [] };
  const text = renderScreen(bare, { columns: 80, rows: 25, colour: false });
  assert.match(text, /Addresses: none yet: waiting for the network\n/);
  assert.match(text, /Disks: 0, exported: 0\n/);
});

test("renderScreen counts problems that it has no room for", () => {
  const problems = ["a", "b", "c", "d", "e", "f"];
  const text = renderScreen({ ...state, problems }, { columns: 80, rows: null, colour: false });
  assert.match(text, /! d\n! and 2 more/);
});

test("connectLine asks for the host's interface when only a link-local IPv6 address is there", () => {
  const addresses = state.addresses.slice(1);
  assert.equal(
    connectLine({ addresses, servicePort: 4420 }, "n"),
    "nvme connect -t tcp -a fe80::1%INTERFACE -s 4420 -n n",
  );
});

const sizes: [bytes: number, text: string][] = [
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [9_949_999, "9.9 MB"],
  [9_960_000, "10 MB"],
  [999_600_000, "1.0 GB"],
  [2_000_398_934_016, "2.0 TB"],
];

for (const [bytes, text] of sizes) {
  test(`formatDecimalSize: ${bytes} is ${text}`, () => {
    assert.equal(formatDecimalSize(bytes), text);
  });
}
