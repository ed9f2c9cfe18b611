/**
 * How a run can end otherwise, on a machine with OVMF: entries that are lost before or after the
 * firmware has seen them. The box is back each time.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RunBox } from "../driver-run-box.ts";

const variables = "/sys/firmware/efi/efivars";
const globalVendor = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

let box: RunBox;
before(async () => {
  box = await RunBox.start();
  await box.bootedAt();
});
after(() => box?.[Symbol.asyncDispose]());

test("the box arms its network cards for magic packets", async () => {
  const found = await box.shell("udevadm info -q property -p $(echo /sys/class/net/e*)");
  assert.match(found, /99-default\.link\.d\/50-diskomator\.conf/);
});

test("an entry that is lost before the firmware sees it: nothing is booted, and it is said", async () => {
  // What goes down with the box deletes both.
  await box.shell(`
    cat > /run/lose << 'END'
    cd ${variables}
    number=$(cat BootNext-${globalVendor} | tail -c +5 | od -An -v -tx2 --endian=little)
    rm BootNext-${globalVendor} Boot$(echo $number | tr a-f A-F)-${globalVendor}
END
    systemd-run -q -p RemainAfterExit=yes -p "ExecStop=/bin/sh -e /run/lose" /bin/true`);
  const ended = await box.run(await box.imageOf("reboot", "first"));
  assert.equal(ended.outcome, "not-booted", JSON.stringify(ended));
  assert.equal(ended.exitCode, 1);
  assert.match(ended.report.problems.join(), /The boot entry Boot\d{4} was lost/);
  assert.equal(ended.isBooted, false);
  assert.equal(ended.report.entryLost, true);
  assert.equal(await box.readCounter(), "");
  assert.doesNotMatch(await box.shell(`ls ${variables}`), /BootNext|DiskomatorRun/);
});

test("an image that deletes the entry it came from has run, and it is told", async () => {
  const image = await box.imageOf("forget", "second");
  const ended = await box.run(image, "--append-entry");
  assert.equal(ended.outcome, "met", JSON.stringify(ended));
  assert.equal(await box.readCounter(), "counter 1 second");
  assert.match(ended.report.problems.join(), /The boot entry Boot\d{4} was lost/);
  assert.equal(ended.report.bootOrder.outcome, "same");
  // It stood at the end of the order, whose other entries are as they were.
  assert.equal(ended.report.appendEntry, true);
  const stdout = await box.shell(
    `cat ${variables}/BootOrder-* | tail -c +5 | od -An -v -tx2 --endian=little`,
  );
  assert.equal(
    stdout.trim().replaceAll(/\s+/g, " "),
    ended.report.bootOrder.wanted.join(" ").toLowerCase(),
  );
});
