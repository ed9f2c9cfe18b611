/**
 * What lies on a disk, whoever wrote it: the table, the partitions, what is in each, and one line
 * that people recognise. Damage is described and never thrown.
 */

import type { BlockDevice, CallOptions } from "../block/index.ts";
import { contentsLine } from "./contents.ts";
import type { DiskDescription, PartitionDescription, TableDescription } from "./description.ts";
import type { SectorSize } from "./gpt.ts";
import type { GptCopy } from "./gpt-decode.ts";
import { type GptReport, inspectGpt } from "./gpt-inspect.ts";
import { inspectMbr, isExtended, isPlausibleMbr } from "./mbr-inspect.ts";
import { readBytes } from "./read.ts";
import { probeRegion } from "./signatures/probe.ts";
import { Region } from "./signatures/region.ts";
import type { Signature } from "./signatures/signature.ts";
import { gptTypeName, mbrTypeName } from "./type-names.ts";
import { damageWords, signatureWords } from "./words.ts";

/** So many partitions are looked into; the others are listed. */
const probedMax = 64;
/** A disk is called blank after both ends and so many samples between them. */
const blankSamples = 30;
const blankEdgeBytes = 1024 * 1024;
const blankSampleBytes = 64 * 1024;

/**
 * Describes a disk without changing anything. Reads up to 300 KiB of the disk and of each of the
 * first 64 partitions, and 4 MiB in all of a disk that seems blank; sectors that the medium has lost
 * are passed over.
 * @throws BlockError other than `medium`, as the device does.
 */
export async function describeDisk(
  device: BlockDevice,
  options?: CallOptions,
): Promise<DiskDescription> {
  const { sizeBytes, blockSizeBytes } = device;
  const gpt = await inspectGpt(device, options);
  const whole = new Region(device, 0, sizeBytes, options);
  const signatures = await probeRegion(whole);
  const kind = tableKind(gpt, signatures, sizeBytes);
  const notes: string[] = [];
  let partitions: readonly PartitionDescription[] = [];
  let table: TableDescription = { kind: "none" };
  if (kind === "gpt") {
    table = {
      kind,
      sectorSizeBytes: gpt.sectorSizeBytes,
      diskId: gpt.gpt?.diskGuid ?? "",
      isHybrid: gpt.mbr.kind === "hybrid",
    };
    partitions = await gptPartitions(device, gpt, options);
    notes.push(...gpt.damage.filter((one) => !isHybridNote(one.reason, gpt)).map(damageWords));
  } else if (kind === "mbr") {
    ({ table, partitions } = await mbrTable(device, gpt, options));
    if (table.sectorSizeBytes !== blockSizeBytes) {
      const { sectorSizeBytes } = table;
      notes.push(
        `The MBR was made for sectors of ${sectorSizeBytes} bytes, and the disk has ${blockSizeBytes}.`,
      );
    }
  }
  if (kind !== "gpt" && gpt.backup.state === "valid") {
    notes.push("At the end lies the backup of a GPT that was there before.");
  }
  notes.push(...remainNotes(kind === "none" ? signatures.slice(1) : []));
  const isEmpty = kind === "none" && signatures.length === 0;
  const isReadable = (await readBytes(device, 0, blockSizeBytes, options)) !== undefined;
  const isBlank = isEmpty && isReadable && (await looksBlank(device, options));
  if (whole.isUnreadable) notes.push("The medium has sectors that cannot be read.");
  const facts = { sizeBytes, blockSizeBytes, isBlank, table, partitions, signatures, notes, gpt };
  return { contents: contentsLine(facts, isReadable), ...facts };
}

/** A GPT's MBR is judged by the note on the hybrid alone. */
function isHybridNote(reason: string, { mbr }: GptReport): boolean {
  return reason === "mbr-not-protective" && mbr.kind === "hybrid";
}

/** File systems whose boot sector has the MBR's signature, and other bytes where its records are. */
const bootSectorKinds = ["vfat", "ntfs", "exfat", "BitLocker"];

function tableKind(
  { primary, backup, mbr }: GptReport,
  signatures: readonly Signature[],
  sizeBytes: number,
): TableDescription["kind"] {
  const front = signatures.find(({ isCopy }) => !isCopy);
  const isBootSector = bootSectorKinds.includes(front?.kind ?? "");
  if (isThere(primary)) return "gpt";
  if (mbr.kind === "protective" || mbr.kind === "hybrid") return "gpt";
  if (!isBootSector && isPlausibleMbr(mbr, sizeBytes)) return "mbr";
  return isThere(backup) && !front ? "gpt" : "none";
}

/** Whether there is a copy, whole or not; of a sector that cannot be read nobody knows. */
function isThere(copy: GptCopy): boolean {
  if (copy.state !== "damaged") return copy.state === "valid";
  return copy.damage.some(({ reason }) => reason !== "unreadable");
}

async function gptPartitions(
  device: BlockDevice,
  { gpt }: GptReport,
  options?: CallOptions,
): Promise<PartitionDescription[]> {
  const described: PartitionDescription[] = [];
  for (const { number, firstLba, lastLba, typeGuid, guid, name } of gpt?.partitions ?? []) {
    const startBytes = firstLba * gpt!.sectorSizeBytes;
    const sizeBytes = Math.max(0, lastLba + 1 - firstLba) * gpt!.sectorSizeBytes;
    const typeName = gptTypeName(typeGuid);
    const about = { number, startBytes, sizeBytes, type: typeGuid, typeName, name, partUuid: guid };
    described.push(await look(device, about, described.length < probedMax, options));
  }
  return described;
}

/** The MBR's partitions, for the disk's own sector size unless only the other one makes sense. */
async function mbrTable(device: BlockDevice, { mbr }: GptReport, options?: CallOptions) {
  const own: SectorSize = device.blockSizeBytes === 512 ? 512 : 4096;
  const id = mbr.kind === "none" ? 0 : mbr.diskSignature;
  const diskId = id === 0 ? "" : id.toString(16).padStart(8, "0");
  const tableFor = async (sectorSizeBytes: SectorSize) => {
    const partitions: PartitionDescription[] = [];
    for (const { number, type, startBytes, sizeBytes } of await inspectMbr(
      device,
      mbr,
      sectorSizeBytes,
      options,
    )) {
      const digits = number.toString(16).padStart(2, "0");
      const about = {
        number,
        startBytes,
        sizeBytes,
        type: `0x${type.toString(16).padStart(2, "0")}`,
        typeName: mbrTypeName(type),
        name: "",
        partUuid: diskId && `${diskId}-${digits}`,
      };
      const isProbed = partitions.length < probedMax && !isExtended(type);
      partitions.push(await look(device, about, isProbed, options));
    }
    return { table: { kind: "mbr", sectorSizeBytes, diskId } as const, partitions };
  };
  const isKnown = ({ partitions }: Awaited<ReturnType<typeof tableFor>>) =>
    partitions.some(({ signatures }) => signatures.length > 0);
  const found = await tableFor(own);
  if (isKnown(found)) return found;
  const foreign = await tableFor(own === 512 ? 4096 : 512);
  return isKnown(foreign) ? foreign : found;
}

async function look(
  device: BlockDevice,
  about: Omit<PartitionDescription, "signatures" | "contents">,
  isProbed: boolean,
  options?: CallOptions,
): Promise<PartitionDescription> {
  const { startBytes, sizeBytes, typeName, name } = about;
  const region = new Region(device, startBytes, isProbed ? sizeBytes : 0, options);
  const signatures = await probeRegion(region);
  const first = signatures.find(({ isCopy }) => !isCopy);
  const isEsp = typeName === "ESP" && (!first || first.kind === "vfat");
  const contents = first && !isEsp ? signatureWords(first, name) : typeName;
  return { ...about, signatures, contents };
}

function remainNotes(signatures: readonly Signature[]): string[] {
  return signatures.map((one) => `There is also ${signatureWords(one)}, or what remains of it.`);
}

async function looksBlank(device: BlockDevice, options?: CallOptions): Promise<boolean> {
  const { sizeBytes } = device;
  const edge = Math.min(blankEdgeBytes, sizeBytes);
  const step = Math.floor(sizeBytes / (blankSamples + 1));
  const ranges = [[0, edge] as const, [sizeBytes - edge, edge] as const];
  for (let sample = 1; sample <= blankSamples; sample++) {
    const at = sample * step;
    if (at > edge && at + blankSampleBytes < sizeBytes - edge) ranges.push([at, blankSampleBytes]);
  }
  for (const [at, length] of ranges) {
    const bytes = await readBytes(device, at, length, options);
    if (!bytes || !isFilled(bytes)) return false;
  }
  return sizeBytes > 0;
}

/** Whether all bytes are 00h, or all FFh as on erased flash. */
function isFilled(bytes: Uint8Array): boolean {
  const [first] = bytes;
  if (first !== 0 && first !== 0xff) return false;
  return Buffer.compare(bytes, Buffer.alloc(bytes.byteLength, first)) === 0;
}
