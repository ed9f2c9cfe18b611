/**
 * Our host against the Linux kernel's own target, for longer: every kind of disk with every digest
 * and number of queues, many cuts, and a machine that is reset under load.
 */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { ids, KernelDisks, nextEvent, scenarioOn } from "../driver-kernel-disks.ts";
import { Relay } from "../driver-relay.ts";
import { numbers, VerifiedLoad } from "../verified-load.ts";

const mebibyte = 2 ** 20;
const resetsMax = 4;
const reconnect = { firstDelayMs: 50, delayMsMax: 500 };
const digestKinds = [false, true].flatMap((hdgst) =>
  [false, true].map((ddgst) => ({ hdgst, ddgst })),
);

let disks: KernelDisks;

before(async () => {
  disks = await KernelDisks.boot("nvmet");
});

after(() => disks?.[Symbol.asyncDispose]());

const scenario = scenarioOn(() => disks.target);

for (const ioQueues of [1, 2, 4, 8, 16]) {
  scenario(
    `verified I/O with ${ioQueues} queues, all digests, on every kind of disk`,
    async (t) => {
      for (const digests of digestKinds) {
        await using controller = await disks.connect({ digests, ioQueues });
        assert.equal(controller.ioQueues, ioQueues);
        for (const nsid of Object.values(ids).filter((id) => id !== ids.bad)) {
          await using disk = await controller.openNamespace(nsid);
          const seed = ioQueues * 100 + nsid;
          const options = { sizeBytes: 16 * mebibyte, workers: 16, seed, ioBytesMax: mebibyte };
          const load = await VerifiedLoad.start(disk, options);
          await load.progress(60);
          await load.finish();
          t.diagnostic(`namespace ${nsid}: ${JSON.stringify({ ...digests, ...load.counts })}`);
        }
      }
    },
  );
}

for (const digests of digestKinds) {
  const { hdgst, ddgst } = digests;
  scenario(`20 cuts lose nothing with header digest ${hdgst}, data digest ${ddgst}`, async (t) => {
    await using relay = await Relay.to(disks.forwarded.disks, { intoMachine: true });
    const random = numbers(Number(hdgst) * 2 + Number(ddgst));
    await using controller = await disks.connect({
      port: relay.port,
      digests,
      ioQueues: 4,
      reconnect,
    });
    await using disk = await controller.openNamespace(ids.scratch);
    const options = { sizeBytes: 16 * mebibyte, workers: 8, seed: 5, ioBytesMax: mebibyte };
    const load = await VerifiedLoad.start(disk, options);
    for (let cut = 0; cut < 20; cut++) {
      const back = nextEvent(controller, "reconnected");
      relay.cutAfter(Math.floor(random() ** 2 * 8 * mebibyte), () => {});
      await back;
      await load.progress(5);
    }
    const known = await load.finish();
    assert.ok((await disks.readScratch(known.length)).equals(known));
    t.diagnostic(JSON.stringify(load.counts));
  });
}

scenario("a machine that is reset under load loses nothing that was flushed", async (t) => {
  await using controller = await disks.connect({ ioQueues: 4, reconnect });
  await using disk = await controller.openNamespace(ids.scratch);
  const load = await VerifiedLoad.start(disk, { sizeBytes: 16 * mebibyte, workers: 8, seed: 6 });
  // Just after a flush there is nothing to lose: then there is another reset.
  for (let reset = 0; reset < resetsMax && load.counts.losses === 0; reset++) {
    await load.progress(100);
    await disks.reset();
    await load.progress(100);
  }
  const known = await load.finish();
  assert.ok((await disks.readScratch(known.length)).equals(known));
  assert.ok(load.counts.losses > 0);
  t.diagnostic(JSON.stringify(load.counts));
});
