/** The whole judgement, and how its outcome is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyBootMemory } from "./boot-medium.ts";
import { defaultConfig } from "./config.ts";
import type { Found } from "./nvmet.ts";
import { describeBootMedium, describeFailure, heldNames, servedNqns } from "./report.ts";
import { type StockInput, takeStock } from "./stock.ts";
import { nvmeFacts, sampleFacts, stickFacts, virtioFacts } from "./testing/facts-samples.ts";

const input: StockInput = {
  facts: [nvmeFacts, stickFacts, virtioFacts, sampleFacts({ name: "loop0", udev: null })],
  config: defaultConfig,
  box: "1a2b3c4d",
  bootClues: { partitionUuid: null, firmwarePath: null },
  bootMemory: emptyBootMemory,
  bootTimeIsUp: false,
  waitedEnough: new Set(),
  held: new Map(),
  exports: new Map(),
  blocked: new Set(),
  choices: { withdrawn: new Set(), offered: new Set() },
};

test("takeStock lists every device with its verdict, numbers in their order", () => {
  const facts = ["sda10", "sda2", "loop0"].map((name) => sampleFacts({ name }));
  const { disks } = takeStock({ ...input, facts });
  assert.deepEqual(
    disks.map(({ disk }) => disk.name),
    ["loop0", "sda2", "sda10"],
  );
});

test("takeStock offers what is chosen and not blocked", () => {
  const { offers } = takeStock({ ...input, blocked: new Set(["vda"]) });
  assert.deepEqual(
    offers.map(({ base }) => base.namespace.device_path),
    ["/dev/nvme0n1", "/dev/sdb"],
  );
});

test("takeStock sees another disk under the name, and another size", () => {
  const [first] = takeStock(input).offers;
  const memory = (diskSequence: number, sizeBytes: number) =>
    new Map([
      [first!.base.nqn, { name: "nvme0n1", diskSequence, sizeBytes, since: "", tookMs: null }],
    ]);
  const ask = (diskSequence: number, sizeBytes: number) => {
    const { offers } = takeStock({ ...input, exports: memory(diskSequence, sizeBytes) });
    return [offers[0]?.base.reopen, offers[0]?.base.resize];
  };
  assert.deepEqual(ask(10, 1_073_741_824), [false, false]);
  assert.deepEqual(ask(9, 1_073_741_824), [true, false]);
  assert.deepEqual(ask(10, 512), [false, true]);
});

test("takeStock says which disks take no writes: their own doing, or the box's", () => {
  const facts = [sampleFacts({ readOnly: true }), virtioFacts];
  const ask = (readOnly: boolean) => {
    const { offers } = takeStock({ ...input, facts, config: { ...defaultConfig, readOnly } });
    return offers.map((offer) => offer.readOnly);
  };
  assert.deepEqual(ask(false), [true, false]);
  assert.deepEqual(ask(true), [true, true]);
});

test("takeStock waits for partitions of disks that udev knows, and not twice", () => {
  const facts = [
    { ...stickFacts, partitions: [{ name: "sdb1", udev: null }] },
    sampleFacts({ udev: null }),
  ];
  assert.deepEqual(takeStock({ ...input, facts }).waiting, ["sdb"]);
  const waitedEnough = new Set(["sdb"]);
  assert.deepEqual(takeStock({ ...input, facts, waitedEnough }).waiting, []);
});

const found: Found = {
  hosts: [],
  ports: [
    {
      id: 1,
      attributes: { addr_trtype: "", addr_adrfam: "", addr_traddr: "", addr_trsvcid: "" },
      links: ["a", "b"],
    },
  ],
  subsystems: ["a", "b", "c"].map((nqn) => ({
    nqn,
    allowAnyHost: true,
    allowedHosts: [],
    strings: { attr_serial: "", attr_model: "", attr_firmware: "" },
    namespaces: [
      {
        nsid: 1,
        attributes: { device_path: `/dev/sd${nqn}`, device_uuid: "", device_nguid: "" },
        enabled: nqn !== "b",
      },
    ],
  })),
};

test("servedNqns are enabled and linked", () => {
  assert.deepEqual([...servedNqns(found)], ["a"]);
});

test("heldNames gives all NQNs of each disk: its own, those of hosts, and the second target's", () => {
  const granted = { ...found.subsystems[2]!, nqn: "c:h-123456789abc" };
  const memory = { name: "sdr", diskSequence: 1, sizeBytes: 512, since: "", tookMs: null };
  const held = heldNames(
    { ...found, subsystems: [...found.subsystems, granted] },
    new Set(["r"]),
    new Map([["r", memory]]),
  );
  assert.deepEqual([...(held.get("sdc") ?? [])], ["c", "c:h-123456789abc"]);
  assert.deepEqual([...(held.get("sdr") ?? [])], ["r"]);
});

test("describeFailure says what was done, to what, and what the kernel said", () => {
  const path = "subsystems/n/namespaces/1/enable";
  const step = { do: "write", path, value: "1", before: "0" } as const;
  const error = Object.assign(new Error("x"), { code: "EACCES" });
  const result = { subject: "n", intent: "export", failure: { step, error } } as const;
  assert.equal(
    describeFailure(result),
    "cannot open the disk: the kernel refuses to write to it (EACCES)",
  );
  const link = { do: "link", path: "ports/2/subsystems/n", target: "subsystems/n" } as const;
  assert.equal(
    describeFailure({ ...result, failure: { step: link, error: new Error("odd") } }),
    "cannot serve it on ports 2: odd",
  );
});

test("describeBootMedium says what is known", () => {
  const none = { partitionUuid: null, firmwarePath: null };
  const some = { ...none, partitionUuid: "u" };
  const settled = { ...emptyBootMemory, settled: true };
  assert.match(describeBootMedium(none, emptyBootMemory, [], true), /network boot/);
  assert.match(describeBootMedium(none, emptyBootMemory, [], false), /no EFI variables/);
  assert.match(describeBootMedium(some, emptyBootMemory, [], true), /not seen yet/);
  assert.match(describeBootMedium(some, settled, [], true), /has been removed/);
});
