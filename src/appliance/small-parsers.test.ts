/** The small parsers of what other programs and the kernel write. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseKernelRecord, parseRefusal } from "./kernel-log.ts";
import { formatLogLine } from "./log.ts";
import { listAddresses } from "./network.ts";
import { rememberExports } from "./state.ts";
import { parseStopReason } from "./stop.ts";
import { parseUdevRecord } from "./udev-database.ts";

test("parseUdevRecord takes properties and links and passes over the rest", () => {
  const text = [
    "S:disk/by-id/virtio-a",
    "I:2049000",
    "E:ID_SERIAL=a=b",
    "E:broken",
    "G:systemd",
    "V:1",
    "",
  ].join("\n");
  assert.deepEqual(parseUdevRecord(text), {
    properties: { ID_SERIAL: "a=b" },
    links: ["disk/by-id/virtio-a"],
  });
});

const records: [name: string, record: string, text: string | null][] = [
  ["an error", "3,1,5,-;nvmet: failed to open\n SUBSYSTEM=x\n", "nvmet: failed to open"],
  ["an error of the transport", "3,1,5,-;nvmet_tcp: failed to bind\n", "nvmet_tcp: failed to bind"],
  ["a facility besides the priority", "11,1,5,-;nvmet: text\n", "nvmet: text"],
  ["good news", "6,1,5,-;nvmet: adding nsid 1\n", null],
  ["another's error", "3,1,5,-;sd 0:0:0:0: failed\n", null],
  ["no record", "garbage", null],
];

for (const [name, record, text] of records) {
  test(`parseKernelRecord: ${name}`, () => {
    assert.equal(parseKernelRecord(record), text);
  });
}

const unit = "diskomator.service";
const listings: [name: string, listing: string, reason: string][] = [
  ["a stop", "  12 diskomator.service stop running\n", "stop"],
  ["a restart", "12 diskomator.service restart running", "restart"],
  ["a start that waits", "12 diskomator.service start waiting", "restart"],
  ["a shutdown", "1 poweroff.target start waiting\n2 diskomator.service stop running", "stop"],
  ["another unit's job", "12 ssh.service stop running", "none"],
  ["no job", "No jobs running.\n", "none"],
  ["nothing", "", "none"],
];

for (const [name, listing, reason] of listings) {
  test(`parseStopReason: ${name}`, () => {
    assert.equal(parseStopReason(listing, unit), reason);
  });
}

test("listAddresses puts the address first that a host is most likely to reach", () => {
  const at = (address: string, family: "IPv4" | "IPv6", internal = false) => {
    return { address, family, internal, mac: "52:54:00:12:34:56" };
  };
  const addresses = listAddresses({
    lo: [at("127.0.0.1", "IPv4", true)],
    eth1: [at("fe80::1", "IPv6"), at("169.254.1.1", "IPv4"), at("192.0.2.9", "IPv4")],
    eth0: [at("2001:db8::1", "IPv6"), at("192.0.2.7", "IPv4"), at("fea0::1", "IPv6")],
    gone: undefined,
  });
  assert.deepEqual(
    addresses.map(({ address, linkLocal }) => [address, linkLocal]),
    [
      ["192.0.2.7", false],
      ["192.0.2.9", false],
      ["2001:db8::1", false],
      ["169.254.1.1", true],
      ["fea0::1", true],
      ["fe80::1", true],
    ],
  );
});

test("rememberExports takes what it understands of an earlier state", () => {
  const disk = { name: "sda", diskSequence: 9, sizeBytes: 512 };
  const state = { kind: "exported", nqn: "n", since: "s", tookMs: 4 };
  const json = JSON.stringify({
    disks: [{ disk, state }, { disk, state: { kind: "failing", error: "x" } }, { disk }, 7],
  });
  assert.deepEqual(
    [...rememberExports(json)],
    [["n", { name: "sda", diskSequence: 9, sizeBytes: 512, since: "s", tookMs: 4 }]],
  );
  for (const text of ["", "{", "null", "[]", `{"disks":{}}`]) {
    assert.equal(rememberExports(text).size, 0);
  }
});

test("parseRefusal finds hosts that the target refused, whatever else it says", () => {
  const allowed = "nvmet: creating nvm controller 1 for subsystem a for NQN b.";
  const refused = [
    "nvmet: connect by host nqn.b for subsystem nqn.a not allowed",
    "nvmet: ctrl 1 qid 0 host response mismatch",
    "nvmet: ctrl 1 qid 0: authentication failed (1)",
    "tlshd[378]: tlshd[412]: Handshake with 'unknown' (192.0.2.7) failed",
    "nvmet: connect request for invalid subsystem nqn.a:h-6c0f57bd7e5c!",
  ];
  for (const text of refused) assert.equal(parseRefusal(text), text);
  for (const text of [allowed, "usb: not allowed", "tlshd[412]: Loaded", ""])
    assert.equal(parseRefusal(text), null);
});

test("formatLogLine quotes values that a blank would split", () => {
  assert.equal(
    formatLogLine("exported", { disk: "sda", text: `a "b"`, tookMs: null, size: 7 }),
    `exported disk=sda text="a \\"b\\"" tookMs=- size=7`,
  );
  assert.equal(
    formatLogLine("host-refused", { host: "nqn.\x1b[2J\x9b", reason: "two\nlines" }),
    `host-refused host=nqn.?[2J? reason="two\\nlines"`,
  );
});
