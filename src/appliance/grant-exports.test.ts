import assert from "node:assert/strict";
import { test } from "node:test";
import { applyPlan } from "./apply.ts";
import { grantNqn, type Offer, wantedAccess } from "./grant-exports.ts";
import { keyMaker } from "./grant-keys.ts";
import { Grants } from "./grants.ts";
import { boxPorts, type Wanted } from "./nvmet.ts";
import { planExports } from "./plan.ts";
import { servedNqns } from "./report.ts";
import { ConfigfsModel } from "./testing/configfs-model.ts";

const prefix = "nqn.2026-11.io.diskomator:1a2b3c4d:";
const hostA = "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";
const hostB = "nqn.2014-08.org.nvmexpress:uuid:7d1f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a91";
const now = { monotonicMs: 0, date: new Date(0) };

function offer(disk: string, change: Partial<Offer> = {}): Offer {
  return {
    base: {
      nqn: `${prefix}${disk}`,
      disk,
      hosts: [],
      reopen: false,
      resize: false,
      strings: { attr_serial: disk, attr_model: "Model", attr_firmware: "1" },
      namespace: { device_path: `/dev/${disk}`, device_uuid: "u", device_nguid: "g" },
    },
    diskSequence: 1,
    sizeBytes: 512,
    readOnly: false,
    ...change,
  };
}

function grantsFor(
  ...wishes: readonly (readonly [hostnqn: string, disk: string, mode: "rw" | "ro" | "overlay"])[]
): Grants {
  let count = 0;
  const keys = keyMaker((length) => new Uint8Array(length).fill(++count));
  const grants = new Grants();
  for (const [hostnqn, disk, mode] of wishes) {
    const more = { seconds: null, purpose: "", overlayBytes: null };
    grants.add({ hostnqn, nqns: [`${prefix}${disk}`], mode, ...more }, now, keys);
  }
  return grants;
}

const ports = boxPorts({ ipv6: false, tls: true });

async function reach(model: ConfigfsModel, offers: readonly Offer[], grants: Grants) {
  const { exports, hosts } = wantedAccess(offers, grants, "paired", new Map());
  const wanted: Wanted = { ports, exports, hosts, nqnPrefix: prefix };
  const plan = planExports(wanted, model.read());
  const results = await applyPlan(model, plan);
  assert.deepEqual(
    results.flatMap(({ failure }) => failure ?? []),
    [],
  );
  assert.deepEqual(planExports(wanted, model.read()).groups, [], "and then it rests");
  return plan;
}

/** Who may connect where. */
function allowed(
  model: ConfigfsModel,
): readonly (readonly [nqn: string, hosts: readonly string[]])[] {
  return model.read().subsystems.map(({ nqn, allowAnyHost, allowedHosts }) => {
    assert.equal(allowAnyHost, false, "nobody comes without a key");
    return [nqn.slice(prefix.length), allowedHosts];
  });
}

test("wantedAccess lets nobody in without a grant, and keeps the ports open", async () => {
  const model = new ConfigfsModel();
  await reach(model, [offer("sda"), offer("sdb")], grantsFor());
  assert.deepEqual(allowed(model), [
    ["sda", []],
    ["sdb", []],
  ]);
  assert.equal(model.read().hosts.length, 0);
  assert.equal(servedNqns(model.read()).size, 2);
});

test("wantedAccess gives each host a subsystem of its own, which asks for its secrets", async () => {
  const model = new ConfigfsModel();
  const grants = grantsFor([hostA, "sda", "rw"], [hostB, "sda", "rw"]);
  await reach(model, [offer("sda")], grants);
  const [a, b] = [grantNqn(`${prefix}sda`, hostA), grantNqn(`${prefix}sda`, hostB)];
  assert.deepEqual(allowed(model), [
    ["sda", []],
    [a.slice(prefix.length), [hostA]],
    [b.slice(prefix.length), [hostB]],
  ]);
  const host = model.read().hosts.find(({ nqn }) => nqn === hostA);
  assert.deepEqual(host?.attributes, {
    dhchap_key: grants.secretsOf(hostA)?.host,
    dhchap_ctrl_key: grants.secretsOf(hostA)?.controller,
    dhchap_hash: "hmac(sha256)",
    dhchap_dhgroup: "ffdhe2048",
  });
});

test("wantedAccess ends a revoked host's subsystem and touches no other", async () => {
  const model = new ConfigfsModel();
  const grants = grantsFor([hostA, "sda", "rw"], [hostB, "sda", "rw"]);
  await reach(model, [offer("sda")], grants);
  grants.revoke("g1");
  const { groups } = await reach(model, [offer("sda")], grants);
  const gone = grantNqn(`${prefix}sda`, hostA);
  assert.deepEqual(
    groups.map(({ subject, intent }) => [subject, intent]),
    [
      [gone, "remove"],
      [hostA, "remove"],
    ],
  );
  assert.deepEqual(
    allowed(model).map(([, hosts]) => hosts),
    [[], [hostB]],
  );
});

test("planExports ends the controllers of whoever may not come any more", async () => {
  const model = new ConfigfsModel();
  const open = wantedAccess([offer("sda")], grantsFor(), "open", new Map());
  const wanted = { ports, hosts: [], nqnPrefix: prefix };
  await applyPlan(model, planExports({ ...wanted, exports: open.exports }, model.read()));
  const plan = planExports(
    { ...wanted, exports: wantedAccess([offer("sda")], grantsFor(), "paired", new Map()).exports },
    model.read(),
  );
  const steps = plan.groups.flatMap((group) => group.steps);
  assert.ok(steps.some((step) => step.do === "rmdir" && step.path === `subsystems/${prefix}sda`));
});

test("wantedAccess has the project's own target serve what must not be written", () => {
  const offers = [offer("sda"), offer("sdr", { readOnly: true })];
  const grants = grantsFor([hostA, "sda", "overlay"], [hostA, "sdr", "ro"], [hostB, "sdr", "rw"]);
  const { exports, soft } = wantedAccess(offers, grants, "paired", new Map());
  assert.deepEqual(
    exports.map(({ disk, hosts }) => [disk, hosts]),
    [["sda", []]],
  );
  assert.deepEqual(
    soft.map(({ disk, mode, hosts }) => [disk, mode, hosts === "any" ? hosts : [...hosts.keys()]]),
    [
      ["sdr", "ro", []],
      ["sda", "overlay", [hostA]],
      ["sdr", "ro", [hostA]],
    ],
    "writing to what takes no writes is never granted",
  );
  const open = wantedAccess(offers, grantsFor(), "open", new Map());
  assert.deepEqual(
    open.soft.map(({ disk, hosts }) => [disk, hosts]),
    [["sdr", "any"]],
  );
});

test("grantNqn stays short enough for an identity of TLS, and differs for each disk and host", () => {
  const long = `${prefix}${"x".repeat(150)}`;
  const names = [
    grantNqn(`${long}1`, hostA),
    grantNqn(`${long}2`, hostA),
    grantNqn(`${long}1`, hostB),
    grantNqn(`${prefix}sda`, hostA),
  ];
  assert.equal(new Set(names).size, 4);
  for (const name of names) assert.ok(name.length <= 120 && name.startsWith(prefix), name);
  assert.equal(names[3], `${prefix}sda:h-b1668107ddc1`);
});

test("wantedAccess has a TLS key for each host and disk, whose identity Node takes", () => {
  const grants = grantsFor([hostA, "sda", "rw"], [hostB, "sda", "rw"]);
  const { tlsKeys } = wantedAccess([offer("sda")], grants, "paired", new Map());
  assert.equal(tlsKeys.size, 2);
  for (const [identity, key] of tlsKeys) {
    assert.match(identity, /^NVMe1R01 nqn\.2014\S+ nqn\.2026\S+:h-\S+ \S{44}$/);
    assert.ok(identity.length <= 256, `${identity.length}`);
    assert.equal(key.length, 32);
  }
});
