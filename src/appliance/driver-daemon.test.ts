/** The daemon on a machine that is made of values, with the model of configfs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyBootMemory } from "./boot-medium.ts";
import { defaultConfig } from "./config.ts";
import { Daemon } from "./driver-daemon.ts";
import type { BlockFacts } from "./facts.ts";
import { grantNqn } from "./grant-exports.ts";
import { keyMaker } from "./grant-keys.ts";
import { Grants } from "./grants.ts";
import { takeInventory } from "./inventory.ts";
import { boxPorts } from "./nvmet.ts";
import type { State } from "./state.ts";
import { rememberExports } from "./state.ts";
import { ConfigfsModel } from "./testing/configfs-model.ts";
import { nvmeFacts, sampleFacts, stickFacts, virtioFacts } from "./testing/facts-samples.ts";
import type { DaemonSetup, World } from "./world.ts";

class Machine implements World {
  readonly disks = new Map<string, BlockFacts>();
  readonly model: ConfigfsModel;
  readonly states: State[] = [];
  readonly logged: string[] = [];
  locked: readonly string[] = [];
  clockMs = 5000;
  saved = 0;
  prepared: Error | null = null;
  readonly target;

  constructor(disks: readonly BlockFacts[], model = new ConfigfsModel()) {
    this.model = model;
    for (const facts of disks) {
      this.disks.set(facts.name, facts);
    }
    this.target = {
      prepare: async () => {
        if (this.prepared !== null) {
          throw this.prepared;
        }
      },
      read: () => model.read(),
      refresh: () => model.read(),
      calls: model,
    };
  }

  listDisks(): readonly string[] {
    return [...this.disks.keys()];
  }
  readFacts(name: string): BlockFacts | null {
    return this.disks.get(name) ?? null;
  }
  readonly softTarget = {
    settle: async () => new Map<string, string>(),
    served: new Set<string>(),
  };
  async setTlsKeys(_keys: ReadonlyMap<string, Uint8Array>): Promise<void> {}
  saveGrants(): void {
    this.saved += 1;
  }
  publish(state: State): void {
    this.states.push(state);
  }
  saveBootMemory(): void {}
  choices: readonly string[] = [];
  saveChoices({ withdrawn }: { readonly withdrawn: readonly string[] }): void {
    this.choices = withdrawn;
  }
  lockDisks(disks: ReadonlyMap<string, number | null>): void {
    this.locked = [...disks.keys()];
  }
  kernelMessages(): readonly string[] {
    return ["nvmet: said something"];
  }
  monotonicMs(): number {
    return this.clockMs;
  }
  now(): Date {
    return new Date("2026-11-23T09:00:00Z");
  }
  log = (event: string): void => {
    this.logged.push(event);
  };

  /** Disk name → kind of its state. */
  get shown(): Record<string, string> {
    const rows = this.states.at(-1)?.disks ?? [];
    return Object.fromEntries(rows.map(({ disk, state }) => [disk.name, state.kind]));
  }
}

const setup: DaemonSetup = {
  version: "0",
  box: "1a2b3c4d",
  configuration: { config: defaultConfig, problems: [] },
  name: { short: "lunch-feta", full: "lunch-feta-olive" },
  tls: false,
  grants: new Grants(),
  choices: { withdrawn: new Set(), offered: new Set() },
  ports: boxPorts({ ipv6: true, tls: false }),
  bootClues: { partitionUuid: "5f0c1b4e-9d6f-4f51-8f7c-0a1b2c3d4e5f", firmwarePath: null },
  hasEfiVariables: true,
  bootMemory: emptyBootMemory,
  exports: new Map(),
};

/** Runs `scenario` with a daemon that has looked at the machine once. */
async function withDaemon(
  machine: Machine,
  scenario: (daemon: Daemon) => Promise<void>,
  change: Partial<DaemonSetup> = {},
): Promise<void> {
  const daemon = new Daemon({ ...setup, ...change }, machine);
  try {
    daemon.rescan();
    await daemon.idle();
    await scenario(daemon);
  } finally {
    await daemon.stop(false);
  }
}

function announce(daemon: Daemon, facts: BlockFacts, action: string): Promise<void> {
  daemon.handle({
    source: "kernel",
    atMs: 4990,
    action,
    devicePath: facts.devicePath,
    properties: { DEVTYPE: "disk" },
  });
  return daemon.idle();
}

test("Daemon exports what is there and keeps the boot medium back", async () => {
  const machine = new Machine([nvmeFacts, stickFacts, virtioFacts]);
  await withDaemon(machine, async () => {
    assert.deepEqual(machine.shown, {
      nvme0n1: "exported",
      sdb: "not exported",
      vda: "exported",
    });
    assert.deepEqual(machine.locked, ["nvme0n1", "vda"]);
    assert.equal(machine.states.at(-1)?.bootMedium, "probably sdb");
  });
});

test("Daemon exports a disk that is plugged in, and says how long that took", async () => {
  const machine = new Machine([nvmeFacts]);
  await withDaemon(machine, async (daemon) => {
    machine.disks.set("vda", virtioFacts);
    await announce(daemon, virtioFacts, "add");
    const row = machine.states.at(-1)?.disks.find(({ disk }) => disk.name === "vda");
    assert.equal(row?.state.kind === "exported" && row.state.tookMs, 10);
  });
});

test("Daemon removes a disk that is pulled out and leaves the others alone", async () => {
  const machine = new Machine([nvmeFacts, virtioFacts]);
  await withDaemon(machine, async (daemon) => {
    const calls = machine.model.calls;
    machine.disks.delete("vda");
    await announce(daemon, virtioFacts, "remove");
    assert.deepEqual(machine.shown, { nvme0n1: "exported" });
    assert.equal(machine.model.subsystems.size, 1);
    assert.equal(machine.model.calls - calls, 7, "disable, two rmdir, four unlink");
    assert.deepEqual(machine.locked, ["nvme0n1"]);
  });
});

test("Daemon opens the device anew when a like disk took the name between two events", async () => {
  const machine = new Machine([nvmeFacts]);
  await withDaemon(machine, async (daemon) => {
    const calls = machine.model.calls;
    machine.disks.set("nvme0n1", { ...nvmeFacts, diskSequence: 99 });
    await announce(daemon, nvmeFacts, "add");
    assert.equal(machine.model.calls - calls, 2, "disable and enable");
    assert.deepEqual(machine.shown, { nvme0n1: "exported" });
  });
});

test("Daemon tells the kernel of a new size once", async () => {
  const machine = new Machine([virtioFacts]);
  await withDaemon(machine, async (daemon) => {
    const calls = machine.model.calls;
    machine.disks.set("vda", { ...virtioFacts, sectors512: 4_194_304 });
    await announce(daemon, virtioFacts, "change");
    await announce(daemon, virtioFacts, "change");
    assert.equal(machine.model.calls - calls, 1);
    assert.equal(machine.states.at(-1)?.disks[0]?.disk.sizeBytes, 2_147_483_648);
  });
});

test("Daemon exports a card reader when a card is put in", async () => {
  const empty = sampleFacts({ sectors512: 0, udev: { ID_PATH: "reader" } });
  const machine = new Machine([empty]);
  await withDaemon(machine, async (daemon) => {
    assert.deepEqual(machine.shown, { sda: "not exported" });
    machine.disks.set("sda", { ...empty, sectors512: 2048, diskSequence: 10 });
    await announce(daemon, empty, "change");
    assert.deepEqual(machine.shown, { sda: "exported" });
    machine.disks.set("sda", { ...empty, diskSequence: 11 });
    await announce(daemon, empty, "change");
    assert.deepEqual(machine.shown, { sda: "not exported" });
    assert.equal(machine.model.subsystems.size, 0);
  });
});

test("Daemon shows a disk that does not open as failing, and is patient with it", async () => {
  const machine = new Machine([nvmeFacts, virtioFacts]);
  machine.model.openable = new Set(["/dev/nvme0n1"]);
  await withDaemon(machine, async (daemon) => {
    assert.deepEqual(machine.shown, { nvme0n1: "exported", vda: "failing" });
    assert.deepEqual(machine.states.at(-1)?.kernelMessages, ["nvmet: said something"]);
    const calls = machine.model.calls;
    await announce(daemon, virtioFacts, "change");
    assert.equal(machine.model.calls, calls);
    machine.model.openable = null;
    machine.disks.set("vda", { ...virtioFacts, sectors512: 4_194_304 });
    await announce(daemon, virtioFacts, "change");
    assert.deepEqual(machine.shown, { nvme0n1: "exported", vda: "exported" });
  });
});

test("Daemon adopts what an earlier run left in the kernel without a single call", async () => {
  const first = new Machine([nvmeFacts, virtioFacts]);
  await withDaemon(first, async () => {});
  const exports = rememberExports(JSON.stringify(first.states.at(-1)));
  const calls = first.model.calls;
  const second = new Machine([nvmeFacts, virtioFacts], first.model);
  await withDaemon(
    second,
    async () => {
      assert.equal(first.model.calls, calls);
      assert.deepEqual(second.states.at(-1)?.disks, first.states.at(-1)?.disks);
    },
    { exports },
  );
  const forgetful = new Machine([nvmeFacts, virtioFacts], first.model);
  await withDaemon(forgetful, async () => assert.equal(first.model.calls, calls));
  assert.equal(forgetful.logged.filter((event) => event === "adopted").length, 2);
});

test("Daemon keeps for the next one what was withdrawn", async () => {
  const machine = new Machine([nvmeFacts]);
  const withdrawn = new Set<string>();
  const scenario = async (daemon: Daemon): Promise<void> => {
    assert.deepEqual(machine.choices, []);
    withdrawn.add(takeInventory(nvmeFacts).identity.value);
    await daemon.settle();
    assert.deepEqual(machine.shown, { nvme0n1: "not exported" });
    assert.deepEqual(machine.choices, [...withdrawn]);
  };
  await withDaemon(machine, scenario, { choices: { withdrawn, offered: new Set() } });
});

test("Daemon tries a port again that could not listen", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const machine = new Machine([nvmeFacts, virtioFacts]);
  machine.model.deaf.add(1);
  await withDaemon(machine, async (daemon) => {
    const linksOf = (id: number) => machine.model.ports.get(id)?.links.size;
    assert.deepEqual([linksOf(1), linksOf(2)], [0, 2]);
    assert.match(machine.states.at(-1)?.problems.join() ?? "", /cannot serve it on ports 1/);
    machine.model.deaf.clear();
    t.mock.timers.tick(5000);
    await daemon.idle();
    assert.deepEqual([linksOf(1), linksOf(2)], [2, 2]);
    assert.deepEqual(machine.states.at(-1)?.problems, []);
  });
});

test("Daemon lets a granted host in, and ends it alone when its time is up", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const machine = new Machine([nvmeFacts]);
  const grants = new Grants();
  const keys = keyMaker((length) => new Uint8Array(length));
  const config = { ...defaultConfig, access: "paired" } as const;
  const change = { grants, configuration: { config, problems: [] } };
  const scenario = async (daemon: Daemon): Promise<void> => {
    const [row] = machine.states.at(-1)!.disks;
    assert.ok(row?.state.kind === "exported");
    const { nqn } = row.state;
    const date = machine.now();
    const how = { mode: "rw", shared: true } as const;
    const wish = { ...how, purpose: "", overlayBytes: null, nqns: [nqn] };
    for (const [hostnqn, seconds] of [["nqn.a", 60] as const, ["nqn.b", null] as const]) {
      const now = { monotonicMs: machine.monotonicMs(), date };
      grants.add({ ...wish, hostnqn, seconds }, now, keys);
    }
    await daemon.settle();
    const served = ["nqn.a", "nqn.b"].map((host) => grantNqn(nqn, host));
    assert.deepEqual([...daemon.reach.served], [nqn, ...served]);
    assert.deepEqual(
      machine.states.at(-1)?.grants.map(({ id, disks }) => [id, disks]),
      [
        ["g1", ["nvme0n1"]],
        ["g2", ["nvme0n1"]],
      ],
    );
    machine.clockMs += 60_000;
    t.mock.timers.tick(60_000);
    await daemon.idle();
    assert.deepEqual([...daemon.reach.served], [nqn, served[1]]);
    assert.ok(machine.logged.includes("expired"));
    assert.equal(machine.saved, 2, "after granting, and after the end");
  };
  await withDaemon(machine, scenario, change);
});

/** A disk that calls itself as its twin does, in another slot. */
const likeDisk = (name: string, port: number) =>
  sampleFacts({
    name,
    diskSequence: port,
    devicePath: `/devices/usb/port${port}/block/${name}`,
    udev: { ID_SERIAL: "Bridge_0815-4711-AB", ID_PATH: `pci-usb-${port}` },
  });

test("Daemon leaves a granted disk its name when a twin is plugged in", async () => {
  const machine = new Machine([likeDisk("sda", 1)]);
  const grants = new Grants();
  const scenario = async (daemon: Daemon): Promise<void> => {
    const served = await grantFirst(machine, daemon, grants);
    machine.disks.set("sdb", likeDisk("sdb", 2));
    await announce(daemon, likeDisk("sdb", 2), "add");
    assert.deepEqual(machine.shown, { sda: "exported", sdb: "exported" });
    assert.ok(daemon.reach.served.has(served), "the host that has it keeps it");
  };
  await withDaemon(machine, scenario, { grants });
});

test("Daemon that comes back opens a granted disk anew, too, when another took its place", async () => {
  const first = new Machine([nvmeFacts]);
  const grants = new Grants();
  await withDaemon(first, (daemon) => grantFirst(first, daemon, grants).then(() => {}), { grants });
  const exports = rememberExports(JSON.stringify(first.states.at(-1)));
  const calls = first.model.calls;
  const second = new Machine([{ ...nvmeFacts, diskSequence: 99 }], first.model);
  await withDaemon(
    second,
    async (daemon) => {
      assert.equal(
        first.model.calls - calls,
        4,
        "disable and enable, for the box and for the host",
      );
      second.disks.set("nvme0n1", { ...nvmeFacts, diskSequence: 99, sectors512: 4_194_304 });
      await announce(daemon, nvmeFacts, "change");
      assert.equal(first.model.calls - calls, 6, "both learn of the new size");
    },
    { exports, grants },
  );
});

test("Daemon gives the kernel its TLS keys again when that failed", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const machine = new Machine([nvmeFacts]);
  const given: number[] = [];
  machine.setTlsKeys = async (keys: ReadonlyMap<string, Uint8Array>) => {
    given.push(keys.size);
    if (keys.size > 0 && given.length < 4) throw new Error("no room for keys");
  };
  const grants = new Grants();
  const scenario = async (daemon: Daemon): Promise<void> => {
    await grantFirst(machine, daemon, grants);
    assert.match(machine.states.at(-1)?.problems.join() ?? "", /no room/);
    const before = given.length;
    t.mock.timers.tick(5000);
    await daemon.idle();
    assert.ok(given.length > before, "it is tried again, and not only with the next change");
  };
  await withDaemon(machine, scenario, { grants, tls: true });
});

/** Grants the first disk to a host; the NQN that it is served under. */
async function grantFirst(machine: Machine, daemon: Daemon, grants: Grants): Promise<string> {
  const [row] = machine.states.at(-1)!.disks;
  assert.ok(row?.state.kind === "exported");
  const { nqn } = row.state;
  const now = { monotonicMs: machine.monotonicMs(), date: machine.now() };
  const how = {
    mode: "rw",
    shared: false,
    seconds: null,
    purpose: "",
    overlayBytes: null,
  } as const;
  const keys = keyMaker((length) => new Uint8Array(length));
  grants.add({ ...how, hostnqn: "nqn.a", nqns: [nqn] }, now, keys);
  await daemon.settle();
  assert.ok(daemon.reach.served.has(grantNqn(nqn, "nqn.a")));
  return grantNqn(nqn, "nqn.a");
}

test("Daemon takes everything down when it is stopped for good", async () => {
  const machine = new Machine([nvmeFacts, virtioFacts]);
  const daemon = new Daemon(setup, machine);
  daemon.rescan();
  await daemon.idle();
  await daemon.stop(true);
  assert.deepEqual(machine.model.read(), { ports: [], hosts: [], subsystems: [] });
  assert.deepEqual(machine.locked, []);
});

test("Daemon exports 32 disks in one round", async () => {
  const disks = Array.from({ length: 32 }, (_, i) => ({
    ...virtioFacts,
    name: `vd${String.fromCharCode(97 + (i % 26))}${i}`,
    diskSequence: 100 + i,
    udev: { ID_PATH: `pci-${i}` },
  }));
  const machine = new Machine(disks);
  await withDaemon(machine, async () => {
    const kinds = Object.values(machine.shown);
    assert.equal(kinds.length, 32);
    assert.ok(kinds.every((kind) => kind === "exported"));
    assert.equal(machine.states.length, 1);
  });
});

test("Daemon says what is missing when the kernel has no target", async () => {
  const machine = new Machine([nvmeFacts]);
  machine.prepared = new Error("no nvmet");
  await withDaemon(machine, async () => {
    assert.deepEqual(machine.states.at(-1)?.problems, ["no nvmet"]);
    assert.deepEqual(machine.shown, { nvme0n1: "failing" });
  });
});
