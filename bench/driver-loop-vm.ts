/**
 * A box of `loop.ts` in a virtual machine: the real image, with its kernel's target, TLS, its daemon and
 * an NVMe disk. What is written to that disk QEMU counts; zeros it does not.
 */

import { open } from "node:fs/promises";
import { join } from "node:path";
import { findBox, openSession, readHome } from "../src/box/index.ts";
import { RunBox } from "../test/driver-run-box.ts";
import { type MeasuredBox, unitBytes } from "./loop-measures.ts";

/** Builds the box and waits until it answers. */
export async function startInVm(diskBytes: number): Promise<MeasuredBox> {
  await using stack = new AsyncDisposableStack();
  const box = stack.use(await RunBox.start(diskBytes));
  await box.bootedAt();
  const home = await readHome({
    configuration: join(box.folder, "owner/config/diskomator"),
    ssh: join(box.folder, "owner/.ssh"),
  });
  const { signal } = new AbortController();
  const place = await findBox(box.name, { knownBoxes: home.knownBoxes, signal });
  const { accelerator } = box.vm;
  const all = stack.move();
  return {
    about: `in a virtual machine (${accelerator}), user beside it on the same cores`,
    async empty() {
      await using file = await open(box.disk, "r+");
      await file.truncate(0);
      await file.truncate(diskBytes);
    },
    async written() {
      const found = await box.vm.qmp.execute("query-blockstats");
      const all = found as readonly BlockStatistics[];
      const disk = all.find((one) => one["node-name"] === `node-${box.diskId}`);
      if (disk === undefined) throw new Error(`QEMU counts nothing: ${JSON.stringify(found)}`);
      return { bytes: disk.stats.wr_bytes };
    },
    async flash(image) {
      const startMs = performance.now();
      const args = ["flash", image, box.target, "--confirm", box.serial];
      const last = await box.owner.json(...args);
      return { run: { wallMs: performance.now() - startMs, cpuMs: undefined }, last };
    },
    /** With a login before it, and what the box reads past its cache. */
    async hash(lengthBytes) {
      await using session = await openSession(place, { home });
      const ranges = [{ offsetBytes: 0, lengthBytes }];
      await session.stream("hash", { disk: box.serial, ranges, unitBytes }, () => {});
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Of `query-blockstats` (QEMU's QMP reference). */
interface BlockStatistics {
  readonly "node-name"?: string;
  readonly stats: { readonly wr_bytes: number };
}
