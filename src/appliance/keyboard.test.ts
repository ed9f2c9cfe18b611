import assert from "node:assert/strict";
import { test } from "node:test";
import type { GrantedAccess } from "../rpc/index.ts";
import { codedLine, connectLines, fitSecret, keyboardHost, noSecret } from "./keyboard.ts";
import type { State } from "./state.ts";

const disk = (name: string) => ({
  name,
  serial: `S-${name}`,
  nqn: `nqn.2026-11.org.example:${name}`,
  nsid: 1,
  uuid: "u",
  port: 4420,
  sizeBytes: 1,
  blockSizeBytes: 512,
  readOnly: false,
  tlsIdentity: null,
});

const routed = {
  interface: "eth0",
  address: "192.0.2.7",
  family: "IPv4",
  linkLocal: false,
  mac: "52:54:00:12:34:56",
} as const;

function lines(count: number, addresses: GrantedAccess["addresses"] = [routed]): readonly string[] {
  const access: GrantedAccess = {
    grant: "g1",
    hostnqn: "nqn.2026-11.org.example:screen",
    mode: "rw",
    expiresAt: null,
    secrets: { host: "DHHC-1:01:aG9zdA==:", controller: "DHHC-1:01:x:" },
    tlsPsk: null,
    addresses,
    disks: Array.from({ length: count }, (_, at) => disk(`sd${at}`)),
  };
  return connectLines(access, { disks: [] as State["disks"] } as State);
}

test("connectLines are what nvme-cli takes, and say how long they are worth something", () => {
  assert.deepEqual(lines(1), [
    "*** Anyone who reads these lines can use the disks for 12 hours. They vanish in a minute. ***",
    "# sd0  S-sd0",
    "nvme connect -t tcp -a 192.0.2.7 -s 4420 -n nqn.2026-11.org.example:sd0 " +
      "-q nqn.2026-11.org.example:screen -S DHHC-1:01:aG9zdA==:",
    "",
  ]);
});

test("connectLines ask for the host's interface where the network has no other addresses", () => {
  const local = { ...routed, address: "fe80::1", family: "IPv6", linkLocal: true } as const;
  assert.match(lines(1, [local]).join(), / -a fe80::1%INTERFACE -s 4420 /);
});

test("connectLines leave room for the screen", () => {
  assert.equal(lines(9).filter((line) => line.startsWith("nvme")).length, 4);
  assert.ok(lines(9).some((line) => line.startsWith("# and 5 more")));
});

test("fitSecret shows the picture of the first line where there is room for it and the state", () => {
  const secret = { lines: lines(2), code: { lines: ["1", "2", "3"], columns: 60 } };
  assert.match(codedLine(secret.lines) ?? "", /example:sd0 /);
  const bare = fitSecret(secret, { columns: 80, rows: 18 });
  assert.deepEqual(bare, { lines: secret.lines, rows: 2 + 2 * 3 + 1 });
  const whole = fitSecret(secret, { columns: 80, rows: 20 });
  assert.deepEqual([whole.lines.slice(0, 3), whole.rows], [["1", "2", "3"], 12]);
  assert.equal(fitSecret(secret, { columns: 50, rows: 100 }).lines, secret.lines);
  assert.equal(codedLine(noSecret.lines), null);
});

test("keyboardHost is another at every press and every boot", () => {
  const names = [
    keyboardHost("nqn.2026-11.org.example", 1, "aaaaaaaa-bb"),
    keyboardHost("nqn.2026-11.org.example", 2, "aaaaaaaa-bb"),
    keyboardHost("nqn.2026-11.org.example", 1, "cccccccc-bb"),
  ];
  assert.equal(new Set(names).size, 3);
  assert.equal(names[0], "nqn.2026-11.org.example:screen-aaaaaaaa-1");
});
