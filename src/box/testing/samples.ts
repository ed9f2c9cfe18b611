/** Boxes and disks made of values, for tests. */

import type { DiskView } from "../../rpc/index.ts";

const at = "2026-11-23T12:00:00.000Z";

/** A disk that is exported, with one partition. */
export function sampleDisk(options: {
  readonly name: string;
  readonly serial: string;
  readonly label?: string;
}): DiskView {
  const { name, serial, label = "" } = options;
  return {
    name,
    serial,
    model: "Sample disk",
    firmware: "1",
    transport: "nvme",
    sizeBytes: 8 * 2 ** 20,
    blockSizeBytes: 512,
    identity: { kind: "wwid", value: `wwid-${name}`, weak: false },
    path: "pci-0000:00:04.0",
    readOnly: false,
    state: {
      kind: "exported",
      nqn: `nqn.2026-11.io.diskomator:cd7c3f8f:${serial}`,
      uuid: "6c0f57bd-7e5c-8b0c-9a5f-3d2f4e1b8a90",
      since: at,
      tookMs: 12,
    },
    contents: {
      line: label === "" ? "blank" : `GPT: ext4 "${label}"`,
      isBlank: label === "",
      partitions:
        label === ""
          ? []
          : [
              {
                number: 1,
                startBytes: 2 ** 20,
                sizeBytes: 2 ** 20,
                typeName: "Linux data",
                name: `${label}-part`,
                contents: `ext4 "${label}"`,
                label,
                partUuid: "6c0f57bd-7e5c-8b0c-9a5f-3d2f4e1b8a91",
              },
            ],
    },
    traffic: null,
    health: null,
  };
}
