/**
 * `run --kexec` on a machine with OVMF: the box starts an image's kernel itself, and is back after one
 * round of the firmware instead of two; an image without such a kernel is refused.
 */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  assembleExtents,
  encodeGpt,
  partitionTypes,
  planFat,
  planGpt,
  shiftExtents,
} from "../../src/disk/index.ts";
import { sampleProgram } from "../../src/disk/testing/program-sample.ts";
import { RunBox } from "../driver-run-box.ts";

const mebibyte = 1024 * 1024;

let box: RunBox;
before(async () => {
  box = await RunBox.start();
});
after(() => box?.[Symbol.asyncDispose]());

/** A disk whose loader says that it is a menu. */
function imageWithMenu(): Uint8Array {
  const sbat = Buffer.from(
    "sbat,1,SBAT Version,sbat,1,https://example.org\n" +
      "systemd-boot,1,The systemd Developers,systemd,257.13-1,https://example.org\n",
  );
  const loader = sampleProgram({ sections: [[".sbat", sbat]] });
  const [sizeBytes, partitionBytes] = [16 * mebibyte, 8 * mebibyte];
  const gpt = planGpt({
    sizeBytes,
    sectorSizeBytes: 512 as const,
    diskGuid: "6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90",
    partitions: [
      {
        typeGuid: partitionTypes.efiSystem,
        guid: "7c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90",
        name: "ESP",
        sizeBytes: partitionBytes,
      },
    ],
  });
  const start = (gpt.partitions[0]?.firstLba ?? 0) * 512;
  const leaf = { type: "file", name: "BOOTX64.EFI", chunks: [loader] } as const;
  const folder = { type: "directory", name: "BOOT", children: [leaf] } as const;
  const volume = planFat({
    sizeBytes: partitionBytes,
    sectorSizeBytes: 512 as const,
    hiddenSectors: start / 512,
    volumeId: 1,
    label: "ESP",
    epochSeconds: 0,
    root: [{ type: "directory", name: "EFI", children: [folder] }],
  });
  const { mbr, primary, backup } = encodeGpt(gpt);
  const extents = [mbr, ...primary, ...backup, ...shiftExtents(volume.extents, start)];
  return assembleExtents(extents, sizeBytes);
}

test("run --kexec refuses an image whose loader has no kernel in it, and boots nothing", async () => {
  const image = join(box.folder, "menu.raw");
  await writeFile(image, imageWithMenu());
  const since = await box.bootedAt();
  const ended = await box.run(image, "--kexec");
  assert.equal(ended.exitCode, 4, JSON.stringify(ended));
  assert.match(ended.message, /\\EFI\\BOOT\\BOOTX64\.EFI: it is systemd-boot 257\.13-1 and has no/);
  assert.equal(await box.bootedAt(), since);
  assert.equal((await box.shell("cat /sys/kernel/kexec_loaded")).trim(), "0");
  assert.equal(await box.shell("ls -d /tmp/kexec-* 2>/dev/null || true"), "");
});

test("run --kexec starts an image's kernel, and one round of the firmware brings the box back", async () => {
  const ended = await box.run(await box.imageOf("reboot", "jumped"), "--kexec");
  assert.equal(ended.outcome, "met", JSON.stringify(ended));
  assert.equal(await box.readCounter(), "counter 1 jumped");
  const { kexec, boots, bootOrder, problems, crashes } = ended.report;
  assert.deepEqual(
    { kexec, boots, problems, crashes },
    { kexec: true, boots: 1, problems: [], crashes: [] },
  );
  assert.equal(bootOrder.outcome, "same");
  const variables = await box.shell("ls /sys/firmware/efi/efivars");
  assert.doesNotMatch(variables, /BootNext|DiskomatorRun/);
});
