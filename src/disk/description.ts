/** What lies on a disk, as values: what `describeDisk` gives and others judge by. */

import type { SectorSize } from "./gpt.ts";
import type { GptReport } from "./gpt-inspect.ts";
import type { Signature } from "./signatures/signature.ts";

/** The partition table that counts. */
export type TableDescription =
  | { readonly kind: "none" }
  | {
      readonly kind: "mbr";
      /** That the table was made for; the disk's own may be another. */
      readonly sectorSizeBytes: SectorSize;
      /** Eight digits; empty when there is none. */
      readonly diskId: string;
    }
  | {
      readonly kind: "gpt";
      readonly sectorSizeBytes: SectorSize;
      /** The disk GUID; empty when neither copy can be used. */
      readonly diskId: string;
      /** Whether the MBR has partitions of its own beside the protective one. */
      readonly isHybrid: boolean;
    };

/** One partition and what is in it. */
export interface PartitionDescription {
  readonly number: number;
  readonly startBytes: number;
  readonly sizeBytes: number;
  /** A GUID, or `0x83`. */
  readonly type: string;
  readonly typeName: string;
  /** Empty in an MBR. */
  readonly name: string;
  /** As lsblk shows it: a GUID, or `1a2b3c4d-01`; empty where there is none. */
  readonly partUuid: string;
  /** What counts first; the others are remains, or lie inside it. */
  readonly signatures: readonly Signature[];
  /** In words, for one line. */
  readonly contents: string;
}

/** What lies on a disk. */
export interface DiskDescription {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  /** One line as people recognise it: `GPT: ESP, ext4 "root"`, `blank`. Safe for a terminal. */
  readonly contents: string;
  /** No table, nothing recognised, and zeros (or FFh) wherever it was looked. */
  readonly isBlank: boolean;
  readonly table: TableDescription;
  /** By number. */
  readonly partitions: readonly PartitionDescription[];
  /** Of the disk as a whole; without a table the first is what it holds. */
  readonly signatures: readonly Signature[];
  /** What is wrong or notable, each a sentence. */
  readonly notes: readonly string[];
  /** Both copies and all damage, for planning changes. */
  readonly gpt: GptReport;
}
