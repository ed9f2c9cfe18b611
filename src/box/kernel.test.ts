import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ConfiguredPsk } from "../nvme/index.ts";
import type { GrantedAccess } from "../rpc/index.ts";
import {
  devicePath,
  isFor,
  type KernelConnection,
  type KernelController,
  planConnect,
  planDisconnect,
  waitsElsewhere,
} from "./kernel.ts";
import { placeOfAddress, placeOfKnown } from "./place.ts";

const hostnqn = "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";
const diskNqn = "nqn.2026-11.io.diskomator:cd7c3f8f:S6Z1NJ0W1";
const nqn = `${diskNqn}:h-0123456789ab`;
const psk = new ConfiguredPsk(new Uint8Array(32).fill(7), "sha256");
const disk: GrantedAccess["disks"][number] = {
  name: "nvme0n1",
  serial: "S6Z1NJ0W1",
  nqn,
  nsid: 1,
  uuid: "6c0f57bd-7e5c-8b0c-9a5f-3d2f4e1b8a90",
  port: 4420,
  sizeBytes: 2 ** 30,
  blockSizeBytes: 512,
  readOnly: false,
  tlsIdentity: "as the box says",
};
const access: GrantedAccess = {
  grant: "g1",
  hostnqn,
  mode: "rw",
  expiresAt: null,
  secrets: { host: "DHHC-1:01:aG9zdA==:", controller: "DHHC-1:01:Y3RybA==:" },
  tlsPsk: psk.reveal(),
  addresses: [],
  disks: [disk],
};
const connection: KernelConnection = {
  access,
  disk,
  place: placeOfAddress("fe80::1%eth0"),
  address: "fe80::1%eth0",
  isEncrypted: true,
  found: undefined,
};
const waiting: KernelController = {
  name: "nvme3",
  subsystemNqn: nqn,
  hostnqn,
  state: "connecting",
  address: "fe80::1%eth0",
  port: 4420,
  devices: ["nvme3n1"],
};

const words = (steps: ReturnType<typeof planConnect>) =>
  steps.map(({ program, args }) => [program, ...args].join(" "));
const text = (input: Uint8Array | undefined) => Buffer.from(input ?? []).toString();

test("planConnect puts the derived key into the keyring before it connects", () => {
  const steps = planConnect(connection);
  assert.deepEqual(
    steps.map(({ program }) => program),
    ["modprobe", "keyctl", "sh", "sh"],
  );
  const { identity, key } = psk.retain(hostnqn).tlsPsk({ hostnqn, subnqn: nqn });
  assert.deepEqual(steps[1]?.args, ["padd", "psk", identity, "%:.nvme"]);
  assert.deepEqual(steps[1]?.input, key);
  assert.equal(
    text(steps[3]?.input),
    `transport=tcp,traddr=fe80::1%eth0,trsvcid=4420,nqn=${nqn},hostnqn=${hostnqn},` +
      "hostid=6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90,ctrl_loss_tmo=-1,reconnect_delay=5," +
      "keep_alive_tmo=5,dhchap_secret=DHHC-1:01:aG9zdA==:," +
      "dhchap_ctrl_secret=DHHC-1:01:Y3RybA==:,tls",
  );
});

test("planConnect without encryption gives both secrets, and goes through forwarded ports", () => {
  const place = placeOfKnown({ name: "a", address: "127.0.0.1", ports: new Map([[4420, 34420]]) });
  const steps = planConnect({ ...connection, place, address: "127.0.0.1", isEncrypted: false });
  assert.deepEqual(words(steps), ["modprobe -a nvme-tcp", "sh -c cat >/dev/nvme-fabrics"]);
  const options = text(steps[1]?.input).split(",");
  for (const option of [
    "trsvcid=34420",
    "dhchap_secret=DHHC-1:01:aG9zdA==:",
    "dhchap_ctrl_secret=DHHC-1:01:Y3RybA==:",
  ]) {
    assert(options.includes(option), option);
  }
  assert(!options.includes("tls"));
});

test("planConnect gives a controller that waits for the box its new keys, and no more", () => {
  const encrypted = words(planConnect({ ...connection, found: waiting }));
  assert.equal(encrypted.length, 5);
  // In this order: whatever it lacks when it tries in between, the controller is not removed for that.
  const order = [
    /modprobe/,
    /dhchap_secret/,
    /dhchap_ctrl_secret/,
    /^keyctl padd/,
    /keyctl unlink/,
  ];
  for (const [n, step] of order.entries()) assert.match(encrypted[n] ?? "", step);
  const plain = planConnect({ ...connection, found: waiting, isEncrypted: false });
  assert.deepEqual(
    plain.slice(1).map(({ args, input }) => [args.at(-1), text(input)]),
    [
      ["/sys/class/nvme/nvme3/dhchap_secret", "DHHC-1:01:aG9zdA==:"],
      ["/sys/class/nvme/nvme3/dhchap_ctrl_secret", "DHHC-1:01:Y3RybA==:"],
    ],
  );
});

test("planConnect shows no secret in any program's arguments", () => {
  for (const isEncrypted of [true, false]) {
    for (const found of [undefined, waiting]) {
      const all = words(planConnect({ ...connection, isEncrypted, found })).join("\n");
      for (const secret of ["DHHC-1", "NVMeTLSkey", psk.reveal()]) assert(!all.includes(secret));
    }
  }
});

test("planConnect never goes on in the clear unless it is told to", () => {
  const bare = { ...connection, access: { ...access, tlsPsk: null } };
  assert.throws(() => planConnect(bare), { code: "unsupported" });
});

test("waitsElsewhere knows a controller that the box will never answer", () => {
  const own = { interface: "eth0", family: "IPv4" as const, linkLocal: false };
  const more = { ...access, addresses: [{ ...own, address: "192.0.2.7" }] };
  const now = { ...connection, access: more };
  for (const [change, is] of [
    [{}, false],
    [{ address: "192.0.2.7" }, false],
    [{ address: "", port: 0 }, false],
    [{ address: "192.0.2.8" }, true],
    [{ port: 4421 }, true],
  ] as const) {
    assert.equal(waitsElsewhere({ ...waiting, ...change }, now), is, JSON.stringify(change));
  }
});

test("planDisconnect takes the controller away, then its key", () => {
  const [remove, forget] = planDisconnect(waiting);
  assert.equal(remove?.args.at(-1), "/sys/class/nvme/nvme3/delete_controller");
  assert.deepEqual(forget?.args.slice(-2), [hostnqn, nqn]);
});

test("isFor knows the controllers of a disk by the beginning of their names", () => {
  const long = `nqn.2026-11.io.diskomator:cd7c3f8f:${"x".repeat(150)}`;
  for (const [subsystemNqn, wanted, is] of [
    [nqn, diskNqn, true],
    [diskNqn, diskNqn, true],
    [`${diskNqn}0:h-0123456789ab`, diskNqn, false],
    [`${diskNqn.slice(0, -1)}:h-0123456789ab`, diskNqn, false],
    [`${long.slice(0, 105)}:h-0123456789ab`, long, true],
  ] as const) {
    assert.equal(isFor({ ...waiting, subsystemNqn }, wanted), is, subsystemNqn);
  }
});

test("devicePath is the link that udev makes of the namespace's UUID", () => {
  assert.equal(devicePath(disk), "/dev/disk/by-id/nvme-uuid.6c0f57bd-7e5c-8b0c-9a5f-3d2f4e1b8a90");
});

test("keys of a host for a disk are forgotten, but for the one that was given last", async () => {
  const [, give, forgetOthers] = planConnect(connection);
  const [, forgetAll] = planDisconnect(waiting);
  const identity = give?.args[2] ?? "";
  const old = `NVMe1R01 ${hostnqn} ${nqn} ${"A".repeat(43)}=`;
  const keys = [old, `NVMe1R01 ${hostnqn} ${diskNqn}:h-x ${"A".repeat(43)}=`, identity];
  assert.deepEqual(await unlinked(forgetOthers?.args ?? [], keys), ["1 %:.nvme"]);
  assert.deepEqual(await unlinked(forgetAll?.args ?? [], keys), ["1 %:.nvme", "3 %:.nvme"]);
});

/** What a shell takes from a keyring with these keys, which have the numbers from 1 on. */
async function unlinked(args: readonly string[], keys: readonly string[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-keys-"));
  try {
    const lines = keys.map((key, n) => `${n + 1}: --als-rv     0     0 psk: ${key}`);
    await writeFile(join(folder, "list"), `${keys.length} keys in keyring:\n${lines.join("\n")}\n`);
    const keyctl = `case $1 in list) cat ${folder}/list;; *) shift; echo "$*" >>${folder}/gone;; esac`;
    await writeFile(join(folder, "keyctl"), `#!/bin/sh\n${keyctl}\n`);
    await chmod(join(folder, "keyctl"), 0o755);
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` };
    const { status, stderr } = spawnSync("sh", args, { env, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return (await readFile(join(folder, "gone"), "utf8")).trim().split("\n");
  } finally {
    await rm(folder, { recursive: true });
  }
}
