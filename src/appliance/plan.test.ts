/** Plans against the model of configfs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { applyPlan } from "./apply.ts";
import { boxPorts, undoOf, type Wanted, type WantedExport } from "./nvmet.ts";
import { planExports, planTeardown } from "./plan.ts";
import { servedNqns } from "./report.ts";
import { ConfigfsModel } from "./testing/configfs-model.ts";

const prefix = "nqn.2026-11.org.example:box:";

const ports = boxPorts({ ipv6: true, tls: false });

function wish(disk: string, path: string, more: Partial<WantedExport> = {}): WantedExport {
  return {
    nqn: `${prefix}${disk}`,
    disk,
    hosts: "any",
    strings: { attr_serial: `S-${disk}`, attr_model: "Model", attr_firmware: "1" },
    namespace: { device_path: path, device_uuid: `u-${disk}`, device_nguid: `g-${disk}` },
    reopen: false,
    resize: false,
    ...more,
  };
}

function want(...exports: WantedExport[]): Wanted {
  return { ports, exports, hosts: [], nqnPrefix: prefix };
}

async function reach(model: ConfigfsModel, wanted: Wanted) {
  return applyPlan(model, planExports(wanted, model.read()));
}

const two = want(wish("a", "/dev/sda"), wish("b", "/dev/sdb"));

test("planExports from nothing exports every disk on both ports, then rests", async () => {
  const model = new ConfigfsModel();
  const results = await reach(model, two);
  assert.deepEqual(
    results.map(({ failure }) => failure),
    results.map(() => null),
  );
  assert.deepEqual([...servedNqns(model.read())], [`${prefix}a`, `${prefix}b`]);
  assert.deepEqual(
    [...model.ports.values()].map(({ links }) => links.size),
    [2, 2, 2, 2],
  );
  assert.deepEqual(planExports(two, model.read()).groups, []);
});

test("planExports does not touch one disk when another comes or goes", async () => {
  const model = new ConfigfsModel();
  await reach(model, want(wish("a", "/dev/sda")));
  const coming = planExports(two, model.read());
  assert.ok(coming.groups.every(({ subject }) => subject === `${prefix}b`));
  await applyPlan(model, coming);
  const going = planExports(want(wish("a", "/dev/sda")), model.read());
  assert.deepEqual(
    going.groups.map(({ subject, intent }) => [subject, intent]),
    [[`${prefix}b`, "remove"]],
  );
});

test("planExports reopens disks whose kernel names swapped", async () => {
  const model = new ConfigfsModel();
  await reach(model, two);
  const swapped = want(wish("a", "/dev/sdb"), wish("b", "/dev/sda"));
  const results = await reach(model, swapped);
  assert.ok(results.every(({ failure }) => failure === null));
  const paths = model.read().subsystems.map((one) => one.namespaces[0]?.attributes.device_path);
  assert.deepEqual(paths, ["/dev/sdb", "/dev/sda"]);
  assert.equal(servedNqns(model.read()).size, 2);
});

test("planExports reopens the same path when another disk is behind it", async () => {
  const model = new ConfigfsModel();
  await reach(model, two);
  const wanted = want(wish("a", "/dev/sda", { reopen: true }), wish("b", "/dev/sdb"));
  const writes = planExports(wanted, model.read()).groups.flatMap(({ steps }) => steps);
  assert.deepEqual(
    writes.map((step) => step.do === "write" && [step.path.split("/").at(-1), step.value]),
    [
      ["enable", "0"],
      ["enable", "1"],
    ],
  );
});

test("planExports revalidates the size of a disk that grew, and disables nothing", async () => {
  const model = new ConfigfsModel();
  await reach(model, two);
  const wanted = want(wish("a", "/dev/sda", { resize: true }), wish("b", "/dev/sdb"));
  const steps = planExports(wanted, model.read()).groups.flatMap((group) => group.steps);
  assert.deepEqual(steps, [
    {
      do: "write",
      path: `subsystems/${prefix}a/namespaces/1/revalidate_size`,
      value: "1",
      before: null,
    },
  ]);
});

test("planExports makes a subsystem anew when its strings changed under a host", async () => {
  const model = new ConfigfsModel();
  await reach(model, two);
  model.subsystems.get(`${prefix}a`)!.discovered = true;
  const strings = { attr_serial: "S-a", attr_model: "Other", attr_firmware: "1" };
  const wanted = want(wish("a", "/dev/sda", { strings }), wish("b", "/dev/sdb"));
  const results = await reach(model, wanted);
  assert.ok(results.every(({ failure }) => failure === null));
  assert.deepEqual(planExports(wanted, model.read()).groups, []);
});

test("planExports leaves foreign subsystems alone and says so", async () => {
  const model = new ConfigfsModel();
  const foreign = "nqn.2026-11.org.example:other";
  await model.mkdir(`subsystems/${foreign}`);
  await reach(model, two);
  const plan = planTeardown(model.read(), two);
  assert.match(plan.remarks.join(), /example:other is not ours/);
  await applyPlan(model, plan);
  assert.deepEqual([...model.subsystems.keys()], [foreign]);
});

test("planExports leaves a port alone that is foreign", async () => {
  const model = new ConfigfsModel();
  const foreign = "nqn.2026-11.org.example:other";
  await model.mkdir(`subsystems/${foreign}`);
  await model.mkdir("ports/1");
  for (const [name, value] of Object.entries(
    boxPorts({ ipv6: false, tls: false })[0]!.attributes,
  )) {
    await model.write(`ports/1/${name}`, name === "addr_trsvcid" ? "9999" : value);
  }
  await model.link(`ports/1/subsystems/${foreign}`, `subsystems/${foreign}`);
  const plan = planExports(two, model.read());
  assert.match(plan.remarks.join(), /Port 1 has other settings/);
  await applyPlan(model, plan);
  assert.equal(servedNqns(model.read()).size, 2, "served by port 2");
  assert.equal(model.ports.get(1)?.links.size, 1);
});

test("planTeardown leaves nothing of ours", async () => {
  const model = new ConfigfsModel();
  await reach(model, two);
  const results = await applyPlan(model, planTeardown(model.read(), two));
  assert.ok(results.every(({ failure }) => failure === null));
  assert.deepEqual(model.read(), { ports: [], hosts: [], subsystems: [] });
});

test("applyPlan takes a failed export back and goes on with the others", async () => {
  const model = new ConfigfsModel();
  model.openable = new Set(["/dev/sdb"]);
  const results = await reach(model, two);
  const failed = results.filter(({ failure }) => failure !== null);
  assert.deepEqual(
    failed.map(({ subject, intent }) => [subject, intent]),
    [[`${prefix}a`, "export"]],
  );
  assert.deepEqual([...model.subsystems.keys()], [`${prefix}b`]);
  assert.deepEqual([...servedNqns(model.read())], [`${prefix}b`]);
});

test("applyPlan serves a disk on one port when the other cannot listen", async () => {
  const model = new ConfigfsModel();
  model.deaf.add(2);
  const results = await reach(model, two);
  const failed = results.filter(({ failure }) => failure !== null);
  assert.deepEqual(
    failed.map(({ intent }) => intent),
    ["link", "link"],
  );
  assert.equal(servedNqns(model.read()).size, 2);
});

test("applyPlan goes on with a removal past a step that fails", async () => {
  const model = new ConfigfsModel();
  await reach(model, two);
  const plan = planTeardown(model.read(), two);
  const results = await applyPlan(
    {
      mkdir: (path) => model.mkdir(path),
      rmdir: (path) => model.rmdir(path),
      write: () => Promise.reject(new Error("EIO")),
      link: (path, target) => model.link(path, target),
      unlink: (path) => model.unlink(path),
    },
    plan,
  );
  assert.ok(results.some(({ failure }) => failure !== null));
  assert.equal(model.subsystems.size, 0);
});

test("undoOf takes back what makes sense to take back", () => {
  assert.deepEqual(undoOf({ do: "mkdir", path: "a" }), { do: "rmdir", path: "a" });
  assert.deepEqual(undoOf({ do: "link", path: "a", target: "b" }), { do: "unlink", path: "a" });
  assert.deepEqual(undoOf({ do: "write", path: "a", value: "1", before: "0" }), {
    do: "write",
    path: "a",
    value: "0",
    before: null,
  });
  assert.equal(undoOf({ do: "write", path: "a", value: "1", before: null }), null);
  assert.equal(undoOf({ do: "rmdir", path: "a" }), null);
});

const device = fc.constantFrom("sda", "sdb", "sdc");
const exportsArbitrary = fc
  .uniqueArray(fc.tuple(fc.constantFrom("a", "b", "c", "d"), device, fc.boolean()), {
    selector: ([disk]) => disk,
  })
  .map((list) =>
    want(
      ...list.map(([disk, path, renamed]) =>
        wish(disk, `/dev/${path}`, {
          strings: {
            attr_serial: `S-${disk}`,
            attr_model: renamed ? "Other" : "Model",
            attr_firmware: "1",
          },
        }),
      ),
    ),
  );
const portsArbitrary = fc.constantFrom("4420", "4421");

test("planExports reaches what is wanted from whatever a crash left behind", async () => {
  const property = fc.asyncProperty(
    fc.array(fc.tuple(exportsArbitrary, fc.nat(40), portsArbitrary), { maxLength: 4 }),
    fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(4)), { maxLength: 4 }),
    exportsArbitrary,
    async (history, damage, wanted) => {
      const model = new ConfigfsModel();
      for (const [past, callsUntilCrash, service] of history) {
        const ports = past.ports.map(({ id, attributes }) => {
          return { id, attributes: { ...attributes, addr_trsvcid: service } };
        });
        model.callsUntilCrash = callsUntilCrash;
        await reach(model, { ...past, ports });
        model.callsUntilCrash = null;
      }
      for (const [disk, kind] of damage) {
        damageSubsystem(model, `${prefix}${disk}`, kind);
      }
      const results = await reach(model, wanted);
      assert.ok(results.every(({ failure }) => failure === null));
      const served = [...servedNqns(model.read())].sort();
      assert.deepEqual(served, wanted.exports.map(({ nqn }) => nqn).sort());
      assert.deepEqual(planExports(wanted, model.read()).groups, []);
      await applyPlan(model, planTeardown(model.read(), wanted));
      assert.deepEqual(model.read(), { ports: [], hosts: [], subsystems: [] });
    },
  );
  await fc.assert(property, { seed: 20261123, numRuns: 400 });
});

/** Things that an administrator or a half-done change may have left. */
function damageSubsystem(model: ConfigfsModel, nqn: string, kind: number): void {
  const subsystem = model.subsystems.get(nqn);
  if (subsystem === undefined) {
    return;
  }
  const first = subsystem.namespaces.get(1);
  switch (kind) {
    case 0:
      subsystem.namespaces.set(7, { attributes: new Map(), enabled: false });
      break;
    case 1:
      subsystem.attributes.set("attr_allow_any_host", "0");
      subsystem.hosts.add("nqn.2026-11.org.example:host");
      break;
    case 2:
      subsystem.discovered = true;
      break;
    case 3:
      subsystem.namespaces.delete(1);
      break;
    default:
      if (first !== undefined) {
        first.enabled = false;
      }
  }
}
