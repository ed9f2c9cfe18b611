/**
 * How a run can end otherwise, on a machine with OVMF: a panic, a hang that a power command ends, no
 * room for variables. The box is back each time.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { after, before, test } from "node:test";
import { boot } from "../driver-box.ts";
import { RunBox } from "../driver-run-box.ts";

const variables = "/sys/firmware/efi/efivars";
/** Nobody's. */
const fillVendor = "5e1b7f0c-93d4-4c6a-8a27-6b1d40c2f9e9";

let box: RunBox;
before(async () => {
  box = await RunBox.start();
  await box.bootedAt();
});
after(() => box?.[Symbol.asyncDispose]());

test("a panic is told of, with what the kernel said last", async () => {
  const ended = await box.run(await box.imageOf("panic", "first"));
  assert.equal(ended.outcome, "crashed", JSON.stringify(ended));
  assert.equal(ended.exitCode, 1);
  assert.match(ended.report.crashes[0].text, /counter: panic of first[\s\S]*Kernel panic/);
  assert.equal(await box.shell("ls /sys/fs/pstore"), "");
});

test("a system that hangs is ended by the power command, and the box is back", async () => {
  const image = await box.imageOf("hang", "second");
  // The power switch: whoever connects presses the machine's reset button.
  const presses: unknown[] = [];
  const power = createServer((socket) => {
    presses.push(socket.end());
    void box.vm.reset();
  });
  power.listen(0, "127.0.0.1");
  await once(power, "listening");
  const { port } = power.address() as AddressInfo;
  const press = `'${process.execPath}' -e 'net.connect(${port}, "127.0.0.1")'`;
  const hangs = box.vm.waitForSerial(/counter: boot \d+ of second/, boot);
  const running = box.run(image, "--timeout", "180", "--power-command", press);
  await hangs;
  const ended = await running;
  power.close();
  assert.equal(presses.length, 1);
  assert.equal(ended.outcome, "hung", JSON.stringify(ended));
  assert.equal(ended.exitCode, 1);
  assert.equal(ended.report.boots, 2);
  assert.deepEqual(ended.report.crashes, []);
  assert.match(ended.message, /came to no end within 180 s/);
});

test("firmware without room for variables: run says so, and leaves nothing half done", async () => {
  const since = await box.bootedAt();
  // Large ones first, then ever smaller ones, until not even the smallest finds room.
  const count = await box.shell(`
    cd ${variables}; n=0
    for size in 8192 1024 128 16 1; do
      { printf '\\7\\0\\0\\0'; head -c $size /dev/zero; } > /run/fill
      n=$((n + 1))
      while cat /run/fill > Fill$n-${fillVendor} 2> /dev/null; do n=$((n + 1)); done
    done
    ls | grep -c Fill`);
  assert(Number(count) > 9, count);
  const before = await box.shell(`ls ${variables}`);
  const ended = await box.run(await box.imageOf("reboot", "third"));
  assert.equal(ended.exitCode, 1, JSON.stringify(ended));
  assert.match(ended.message, /firmware's memory for variables is full[\s\S]*Nothing was changed/);
  assert.equal(await box.bootedAt(), since);
  assert.equal(await box.shell(`ls ${variables}`), before);
});
