/** The disk image: a GUID partition table with one EFI system partition that boots the EFI file. */

import { createHash } from "node:crypto";
import { viewOf } from "../../bytes/index.ts";
import {
  alignmentBytes,
  arrangeExtents,
  DiskError,
  type Extent,
  encodeGpt,
  type FatNode,
  fatSize,
  gptDiskSize,
  guidFromHash,
  partitionTypes,
  planFat,
  planGpt,
  type SectorSize,
  shiftExtents,
} from "../../disk/index.ts";
import { ImageError } from "../error.ts";

/** What goes onto the image. */
export interface WantedRaw {
  readonly efi: { readonly chunks: readonly Uint8Array[] };
  /** Files beside `EFI/BOOT/BOOTX64.EFI`, in the partition's root. */
  readonly extraFiles?: readonly FatNode[];
  /** Time of every file, in seconds since 1970. */
  readonly epochSeconds: number;
  /** What makes this content this content: a hash of all inputs, as text. */
  readonly seed: string;
  /** Of the disk that the image is for; 512 unless told. */
  readonly sectorSizeBytes?: SectorSize;
  /** Space that stays free in the partition; 4 MiB unless told. */
  readonly reserveBytes?: number;
}

/** An image as it is to be written; what no extent covers is zeros. */
export interface RawPlan {
  /** In order; the EFI file is the caller's own buffers. */
  readonly extents: readonly Extent[];
  /** A multiple of 1 MiB. */
  readonly sizeBytes: number;
  /** The box knows the medium that it booted from by `partition`. */
  readonly guids: { readonly disk: string; readonly partition: string };
}

const label = "DISKOMATOR";

/**
 * Lays the image out. The GUIDs and the volume's id follow from `seed`: the same content has the
 * same ones, other content has others.
 * @throws ImageError `raw` when a name cannot be on a FAT volume, or a file is larger than
 * 4 GiB − 1.
 */
export function planRaw(wanted: WantedRaw): RawPlan {
  try {
    return layOut(wanted);
  } catch (cause) {
    if (!(cause instanceof DiskError)) throw cause;
    const message = `Cannot lay out the disk image: ${cause.message}`;
    throw new ImageError("raw", message, { reason: cause.code }, { cause });
  }
}

function layOut(wanted: WantedRaw): RawPlan {
  const { efi, extraFiles = [], epochSeconds, seed } = wanted;
  const { sectorSizeBytes = 512, reserveBytes = 4 * 1024 * 1024 } = wanted;
  const program: FatNode = { type: "file", name: "BOOTX64.EFI", chunks: efi.chunks };
  const folder: FatNode = { type: "directory", name: "BOOT", children: [program] };
  const root: readonly FatNode[] = [
    { type: "directory", name: "EFI", children: [folder] },
    ...extraFiles,
  ];
  const partitionBytes = fatSize(root, sectorSizeBytes, reserveBytes);
  const sizeBytes = gptDiskSize(partitionBytes, sectorSizeBytes);
  const gpt = planGpt({
    sizeBytes,
    sectorSizeBytes,
    diskGuid: guidFromHash(derive(seed, "disk")),
    partitions: [
      {
        typeGuid: partitionTypes.efiSystem,
        guid: guidFromHash(derive(seed, "partition")),
        name: "EFI system",
        sizeBytes: partitionBytes,
      },
    ],
  });
  const volume = planFat({
    sizeBytes: partitionBytes,
    sectorSizeBytes,
    hiddenSectors: alignmentBytes / sectorSizeBytes,
    volumeId: viewOf(derive(seed, "volume")).getUint32(0),
    label,
    epochSeconds,
    root,
  });
  const { mbr, primary, backup } = encodeGpt(gpt);
  const extents = [mbr, ...primary, ...shiftExtents(volume.extents, alignmentBytes), ...backup];
  return {
    extents: arrangeExtents(extents, sizeBytes),
    sizeBytes,
    guids: { disk: gpt.diskGuid, partition: gpt.partitions[0]!.guid },
  };
}

function derive(seed: string, purpose: string): Uint8Array {
  return createHash("sha256").update(`diskomator image ${purpose}\0${seed}`).digest();
}
