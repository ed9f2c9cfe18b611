/** `reboot`, `poweroff` and `wake` of one box and of several, and `--wake`. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { intruder } from "./driver-fake-boots.ts";
import { makeFakeUser, startFakeBox } from "./driver-fake-box.ts";
import { linesOf } from "./driver-json-lines.ts";

for (const [command, method] of [
  ["reboot", "reboot"],
  ["poweroff", "powerOff"],
] as const) {
  test(`${command} of two boxes does it to both, or to none`, async () => {
    await using one = await startFakeBox(["S6Z1NJ0W1"]);
    await using other = await startFakeBox(["S6Z1NJ0W2"]);
    await using user = await makeFakeUser({ "lunch-feta": one.port, "soup-olive": other.port });
    const calls = () => [one, other].map((box) => box.calls.includes(method));
    other.grants.set("g9", intruder);
    const refused = await user.run(command, "lunch-feta", "soup-olive");
    assert.equal(refused.exitCode, 4, refused.stderr);
    assert.match(refused.stderr, /soup-olive: flash by eve on laptop may write to it/);
    assert.deepEqual(calls(), [false, false]);
    const missing = await user.run(command, "lunch-feta", "none.invalid", "--force");
    assert.equal(missing.exitCode, 6, missing.stderr);
    assert.deepEqual(calls(), [false, false]);
    const done = await user.run(command, "lunch-feta", "soup-olive", "--force", "--json");
    assert.equal(done.exitCode, 0, done.stderr);
    assert.deepEqual(calls(), [true, true]);
    const result = JSON.parse(done.stdout.trim().split("\n").at(-1) ?? "{}");
    assert.deepEqual(result.boxes, [
      { box: "lunch-feta", exitCode: 0 },
      { box: "soup-olive", exitCode: 0 },
    ]);
    const twice = await user.run(command, "lunch-feta", "lunch-feta");
    assert.equal(twice.exitCode, 2, twice.stderr);
  });
}

test("reboot of two boxes of which one fails ends with a code of its own, and names it", async () => {
  await using one = await startFakeBox(["S6Z1NJ0W1"]);
  await using other = await startFakeBox(["S6Z1NJ0W2"], { isStuck: true });
  await using user = await makeFakeUser({ "lunch-feta": one.port, "soup-olive": other.port });
  const ended = await user.run("reboot", "lunch-feta", "soup-olive");
  assert.equal(ended.exitCode, 7, ended.stderr);
  assert.match(ended.stdout, /lunch-feta is rebooting\./);
  assert.match(ended.stderr, /soup-olive: .*this box does not go/);
});

test("wake of two boxes sends to both, and to none where one is not known", async () => {
  await using one = await startFakeBox(["S6Z1NJ0W1"]);
  await using other = await startFakeBox(["S6Z1NJ0W2"]);
  await using user = await makeFakeUser({ "lunch-feta": one.port, "soup-olive": other.port });
  assert.equal((await user.run("ls")).exitCode, 0);
  await using socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const to = ["--to", `127.0.0.1:${socket.address().port}`];
  let packets = 0;
  socket.on("message", () => {
    packets += 1;
  });
  const unknown = await user.run("wake", "lunch-feta", "attic", ...to);
  assert.equal(unknown.exitCode, 5, unknown.stderr);
  assert.equal(packets, 0);
  const woken = await user.run("wake", "lunch-feta", "soup-olive", ...to);
  assert.equal(woken.exitCode, 0, woken.stderr);
  assert.match(woken.stdout, /lunch-feta: sent to 52:54:00:12:34:56/);
  assert.match(woken.stdout, /soup-olive: sent to 52:54:00:12:34:56/);
  assert(packets > 0);
});

const hasNetwork = Object.values(networkInterfaces()).some((found) =>
  found?.some(({ family, internal }) => family === "IPv4" && !internal),
);

test("run --wake switches a box on, waits for it, and goes on", {
  skip: !hasNetwork && "no network to broadcast on",
}, async () => {
  await using files = await makeFakeUser({});
  const on = join(files.folder, "on");
  await writeFile(on, "");
  await using box = await startFakeBox(["S6Z1NJ0W1"], { isOff: on });
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  assert.equal((await user.run("ls")).exitCode, 0);
  await rm(on);
  const image = join(user.folder, "os.raw");
  await writeFile(image, Buffer.alloc(1024 * 1024, 7));
  const child = user.start("run", image, "lunch-feta", "--wake", "--json");
  const lines = linesOf(child);
  await lines.says(/lunch-feta does not answer; it was woken at /);
  assert(!box.calls.includes("grant"));
  await writeFile(on, "");
  const { outcome } = await lines.find(({ event, run }) => event === "result" && run !== undefined);
  assert.equal(outcome, "met");
  assert.equal(await lines.exitCode, 0);
});
