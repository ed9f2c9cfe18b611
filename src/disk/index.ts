export { describeDisk } from "./describe.ts";
export type {
  DiskDescription,
  PartitionDescription,
  TableDescription,
} from "./description.ts";
export { DiskError, type DiskErrorCode } from "./error.ts";
export {
  arrangeExtents,
  assembleExtents,
  type Extent,
  shiftExtents,
  writeExtents,
} from "./extent.ts";
export type { FatBoot } from "./fat/boot.ts";
export type { FatEntry } from "./fat/directory.ts";
export type { FatGeometry } from "./fat/geometry.ts";
export {
  type FatDamage,
  type FatDamageReason,
  type FatOpenFile,
  type FatOutcome,
  type FatReadOptions,
  type FatVolume,
  openFat,
} from "./fat/read.ts";
export type { FatDirectory, FatFile, FatNode } from "./fat/tree.ts";
export { type FatPlan, fatSize, planFat, type WantedFat } from "./fat/write.ts";
export {
  alignmentBytes,
  encodeGpt,
  type Gpt,
  type GptAttributes,
  type GptExtents,
  type GptPartition,
  gptDiskSize,
  noAttributes,
  partitionTypes,
  planGpt,
  type SectorSize,
  type WantedGpt,
  type WantedPartition,
} from "./gpt.ts";
export type { GptCopy, GptDamage, GptDamageReason, GptTable } from "./gpt-decode.ts";
export {
  type DiskShape,
  type GptEdit,
  type GptRelocationOptions,
  planGptGrowth,
  planGptRelocation,
} from "./gpt-edit.ts";
export { type GptReport, inspectGpt } from "./gpt-inspect.ts";
export { guid, guidFromHash } from "./guid.ts";
export { decodeKernelSetup, type KernelSetup } from "./kernel-setup.ts";
export {
  type ImageMark,
  type MarkOutcome,
  markPlace,
  markReserveBytes,
  planMark,
  readMark,
} from "./mark.ts";
export { decodeMbr, encodeProtectiveMbr, type Mbr, type MbrPartition } from "./mbr.ts";
export {
  certificateDirectory,
  dataDirectory,
  dosHeader,
  optionalHeader,
  peHeader,
  peMarks,
  sectionHeader,
} from "./pe-layout.ts";
export {
  bootSections,
  decodeProgram,
  type EfiProgram,
  headersBytesMax,
  type ProgramSection,
} from "./program.ts";
export {
  type NamedDescription,
  type SharedIdentifier,
  type SharedKind,
  type SharedPlace,
  sharedIdentifiers,
} from "./shared.ts";
export type { Signature, SignatureKind } from "./signatures/signature.ts";
