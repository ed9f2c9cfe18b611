import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "./exit.ts";
import { parseTarget } from "./target-address.ts";

test("parseTarget takes addresses, boxes and paths apart", () => {
  const box = { kind: "box", box: "10.0.0.17", disk: undefined };
  const found = { kind: "discovered", host: "10.0.0.17", port: 8009, disk: undefined };
  const nqn = { kind: "nqn", host: "box", port: 4420, nqn: "nqn.2026-11.x:a:b", nsid: undefined };
  const table = [
    ["/dev/nvme0n1", { kind: "file", path: "/dev/nvme0n1" }],
    ["./disk.img", { kind: "file", path: "./disk.img" }],
    ["file:disk.img", { kind: "file", path: "disk.img" }],
    ["10.0.0.17", box],
    ["10.0.0.17:S6Z1", { ...box, disk: "S6Z1" }],
    ["lunch-feta", { ...box, box: "lunch-feta" }],
    ["lunch-feta:nvme0n1", { ...box, box: "lunch-feta", disk: "nvme0n1" }],
    ["fe80--1:sda", { ...box, box: "fe80--1", disk: "sda" }],
    ["[fe80::1%eth0]:a b", { ...box, box: "fe80::1%eth0", disk: "a b" }],
    ["10.0.0.17:8009:S6Z1", { ...found, disk: "S6Z1" }],
    ["10.0.0.17:8009", found],
    ["[fe80::1%eth0]:8009:a b", { ...found, host: "fe80::1%eth0", disk: "a b" }],
    ["nvme-tcp://box/nqn.2026-11.x:a:b", nqn],
    ["nvme-tcp://box:1/nqn.2026-11.x:a:b#3", { ...nqn, port: 1, nsid: 3 }],
    ["nvme-tcp://[::1]:1/nqn.2026-11.x:a:b", { ...nqn, host: "::1", port: 1 }],
  ] as const;
  for (const [text, wanted] of table) assert.deepEqual(parseTarget(text), wanted, text);
});

test("parseTarget refuses what is no name of a disk", () => {
  for (const text of [
    "",
    "a/b",
    "nvme-tcp://",
    "nvme-tcp://box",
    "box:99999",
    "nvme-tcp://b/n#0",
  ]) {
    assert.throws(() => parseTarget(text), UsageError, text);
  }
});
