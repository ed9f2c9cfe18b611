/**
 * The mark: which image was written to a disk, in one sector that belongs to nobody.
 *
 * It lies right before the backup copy's entries, behind the last usable sector: no partition may
 * lie there, no other tool writes there, and the image ends before. There is room only where the
 * backup was moved away from the image's end with `reserveBytes: markReserveBytes`.
 *
 * A mark names the disk GUID and the checksum of the primary header that it was written with.
 * Whoever writes an image to the disk, or edits its table, thereby makes the mark stale.
 */

import type { BlockDevice, CallOptions } from "../block/index.ts";
import {
  ascii,
  bytes,
  crc32c,
  type Field,
  layout,
  reserved,
  toNumber,
  u16le,
  u32le,
  u64le,
} from "../bytes/index.ts";
import type { Extent } from "./extent.ts";
import { backupEntriesLbaOf, type Gpt } from "./gpt.ts";
import type { GptTable } from "./gpt-decode.ts";
import type { GptReport } from "./gpt-inspect.ts";
import { guid } from "./guid.ts";
import { readBytes } from "./read.ts";

/** What a relocation must reserve for a mark: one sector of either size. */
export const markReserveBytes = 4096;

/** Which image a disk was written from. */
export interface ImageMark {
  /** Up to 64 bytes of UTF-8; longer names are cut between characters. */
  readonly name: string;
  /** 32 bytes, of the image as it was written, decompressed. */
  readonly sha256: Uint8Array;
  readonly sizeBytes: number;
}

/** What stands where a mark should be. */
export type MarkOutcome =
  /** No mark: no table, no room, or other bytes. */
  | { readonly state: "absent" }
  /** A mark whose checksum is wrong, or of a later version. */
  | { readonly state: "unknown"; readonly reason: "checksum" | "version" | "values" }
  /** The table is another one than the mark was written with: judge the disk by its contents. */
  | {
      readonly state: "stale";
      /** `disk-guid`: another image; `header`: the same disk GUID, but an edited table. */
      readonly reason: "disk-guid" | "header";
      readonly mark: ImageMark;
    }
  | { readonly state: "valid"; readonly mark: ImageMark };

const nameBytesMax = 64;
const rawName = bytes(nameBytesMax);
const magic = "DISKOMATOR MARK";
const version = 1;

const name: Field<string> = {
  size: nameBytesMax,
  read: (view, offset) => {
    const found = rawName.read(view, offset);
    const end = found.indexOf(0);
    return new TextDecoder().decode(end < 0 ? found : found.subarray(0, end));
  },
  write: (view, offset, value) => {
    const raw = new Uint8Array(nameBytesMax);
    new TextEncoder().encodeInto(value, raw);
    rawName.write(view, offset, raw);
  },
};

const markLayout = layout("image mark", 512, {
  magic: ascii(16, "\0"),
  version: u16le,
  reserved18: reserved(6),
  diskGuid: guid,
  /** Checksum field of the primary header. */
  headerCrc32: u32le,
  reserved44: reserved(4),
  imageBytes: u64le,
  imageSha256: bytes(32),
  /** UTF-8, padded with NUL. */
  name,
  reserved152: reserved(356),
  /** CRC32C of everything before. */
  crc32c: u32le,
});

const crcAt = markLayout.offsets.crc32c!;

/**
 * Where a mark can lie, in bytes; `undefined` when there is no room that neither the table nor a
 * partition nor the first `imageBytes` of the disk use.
 */
export function markPlace(gpt: Gpt, imageBytes = 0): number | undefined {
  const offsetBytes = markOffsetOf(gpt);
  if (offsetBytes === undefined) return undefined;
  const lba = offsetBytes / gpt.sectorSizeBytes;
  if (lba <= gpt.lastUsableLba) return undefined;
  const isTaken = gpt.partitions.some(({ lastLba }) => lastLba >= lba);
  return isTaken || offsetBytes < imageBytes ? undefined : offsetBytes;
}

/** Right before the backup copy's entries, whatever lies there. */
function markOffsetOf(gpt: Gpt): number | undefined {
  const lba = backupEntriesLbaOf(gpt) - 1;
  return lba < gpt.firstUsableLba ? undefined : lba * gpt.sectorSizeBytes;
}

/**
 * The sector that marks a disk with this table as written from `image`; `undefined` when there is
 * no room. To be written last, after the table.
 * @param table as it is after relocation and growth: a GptEdit, or a valid primary copy.
 */
export function planMark(table: GptTable, image: ImageMark): Extent | undefined {
  const offsetBytes = markPlace(table.gpt, image.sizeBytes);
  if (offsetBytes === undefined) return undefined;
  const sector = new Uint8Array(table.gpt.sectorSizeBytes);
  const value = {
    magic,
    version,
    diskGuid: table.gpt.diskGuid,
    headerCrc32: table.headerCrc32,
    imageBytes: BigInt(image.sizeBytes),
    imageSha256: image.sha256,
    name: image.name,
    crc32c: 0,
  };
  const sum = crc32c(markLayout.encode(value).subarray(0, crcAt));
  markLayout.encodeInto({ ...value, crc32c: sum }, sector);
  return { offsetBytes, bytes: sector };
}

/**
 * Reads the mark of a disk whose table `report` describes.
 * @throws BlockError other than `medium`, as the device does.
 */
export async function readMark(
  device: BlockDevice,
  { gpt, primary }: Pick<GptReport, "gpt" | "primary">,
  options?: CallOptions,
): Promise<MarkOutcome> {
  // Whoever edits a table may take the room where the mark was for partitions, and leave its bytes.
  const place = gpt && markOffsetOf(gpt);
  if (place === undefined) return { state: "absent" };
  const found = await readBytes(device, place, markLayout.size, options);
  if (!found) return { state: "absent" };
  const value = markLayout.decode(found);
  if (value.magic !== magic) return { state: "absent" };
  if (value.crc32c !== crc32c(found.subarray(0, crcAt))) {
    return { state: "unknown", reason: "checksum" };
  }
  if (value.version !== version) return { state: "unknown", reason: "version" };
  if (value.imageBytes > BigInt(place)) return { state: "unknown", reason: "values" };
  const sizeBytes = toNumber(value.imageBytes);
  const mark: ImageMark = { name: value.name, sha256: value.imageSha256, sizeBytes };
  if (value.diskGuid !== gpt?.diskGuid) return { state: "stale", reason: "disk-guid", mark };
  const isSame = primary.state === "valid" && primary.headerCrc32 === value.headerCrc32;
  return isSame ? { state: "valid", mark } : { state: "stale", reason: "header", mark };
}
