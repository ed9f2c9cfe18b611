/** Methods that end the box, or show which one it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectBox, fails } from "./testing/box-client.ts";

test("reboot, powerOff and blink reach the machine", async () => {
  const { client, done } = connectBox();
  await client.call("blink", { disk: "vda", seconds: 5 });
  await client.call("reboot", {});
  await client.call("powerOff", {});
  assert.deepEqual(done, ["blink vda 5", "reboot", "poweroff"]);
});

test("bootOnce prepares the disk, looks at all others, and reboots", async () => {
  const { client, done, events } = connectBox();
  const run = "6c0f57bd-7e5c";
  const prepared = await client.call("bootOnce", { disk: "nvme0n1", run });
  assert.equal(prepared.entry, "0007");
  assert.deepEqual(done, ["prepare nvme0n1 beside vda sdr sdb", "reboot"]);
  assert.equal(events.after(0).at(-1)?.fields.how, "boot-once");
  assert.equal((await client.call("bootState", {})).lastRun, null);
});

test("bootOnce with kexec ends the box so that the kernel which was loaded starts", async () => {
  const { client, done, events } = connectBox();
  const params = { disk: "nvme0n1", run: "6c0f57bd-7e5c", kexec: true };
  assert.equal((await client.call("bootOnce", params)).entry, null);
  assert.equal(done.at(-1), "kexec");
  assert.equal(events.after(0).at(-1)?.fields.how, "kexec");
});

test("bootOnce and reboot say why the box does not go, and nothing stays prepared", async () => {
  const { client, done, events } = connectBox({ stays: true });
  const params = { disk: "nvme0n1", run: "6c0f57bd-7e5c" };
  const why = /does not go: systemctl failed: no bus\. Nothing was changed/;
  await assert.rejects(client.call("bootOnce", params), fails("failed", why));
  assert.deepEqual(done.slice(1), ["reboot", "take back"]);
  assert.equal(events.after(0).at(-1)?.event, "problem");
  await assert.rejects(client.call("reboot", {}), fails("failed", /does not go: systemctl failed/));
});

test("bootOnce does not boot what the box booted from, nor a disk that is not there", async () => {
  const { client, done } = connectBox();
  const run = "6c0f57bd-7e5c";
  const boot = (disk: string) => client.call("bootOnce", { disk, run });
  await assert.rejects(boot("sdb"), fails("refused", /the box itself booted from it/));
  await assert.rejects(boot("sdz"), fails("no-such-disk", /No disk is called sdz/));
  assert.deepEqual(done, []);
});
