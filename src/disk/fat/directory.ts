/** The entries of a FAT directory of any origin. */

import type { LayoutValue } from "../../bytes/index.ts";
import { directoryEntry, longNameEntry } from "./layout.ts";
import { shortNameChecksum, shortNameText, unitsPerEntry } from "./names.ts";

/** A file or directory as its directory names it. */
export interface FatEntry {
  readonly type: "file" | "directory";
  /** The long name, or the short one where there is none or its pieces do not fit. */
  readonly name: string;
  readonly shortName: string;
  /** 0 for an empty file. */
  readonly firstCluster: number;
  /** 0 for a directory. */
  readonly sizeBytes: number;
  /** Last written, in seconds since 1970, taken as UTC. */
  readonly writtenSeconds: number;
}

const freeMark = 0xe5;
const endMark = 0x00;

/** Reads entries up to the end mark; any bytes will do, what makes no sense is left out. */
export function decodeDirectory(bytes: Uint8Array): FatEntry[] {
  const entries: FatEntry[] = [];
  let pieces: Piece[] = [];
  for (let at = 0; at + 32 <= bytes.byteLength; at += 32) {
    const mark = bytes[at]!;
    if (mark === endMark) break;
    if (mark === freeMark) {
      pieces = [];
      continue;
    }
    const entry = directoryEntry.decode(bytes, at);
    const { readOnly, hidden, system, volumeLabel, directory } = entry.attributes;
    if (readOnly && hidden && system && volumeLabel) {
      const piece = longNameEntry.decode(bytes, at);
      pieces = piece.order.last ? [piece] : [...pieces, piece].slice(-piecesMax);
      continue;
    }
    const shortName = shortNameText(entry.name, noFlags);
    const isDot = shortName === "." || shortName === "..";
    if (!volumeLabel && !isDot) {
      entries.push({
        type: directory ? "directory" : "file",
        name: longNameOf(pieces, entry.name) ?? shortNameText(entry.name, entry.caseFlags),
        shortName,
        firstCluster: entry.clusterHigh * 2 ** 16 + entry.clusterLow,
        sizeBytes: directory ? 0 : entry.sizeBytes,
        writtenSeconds: secondsOf(entry),
      });
    }
    pieces = [];
  }
  return entries;
}

type Piece = LayoutValue<typeof longNameEntry>;

/** 255 units in pieces of 13. */
const piecesMax = 20;
const noFlags = { lowerBase: false, lowerExtension: false };

/** The long name, when the pieces count down to 1 and carry the short name's checksum. */
function longNameOf(pieces: readonly Piece[], short: Uint8Array): string | undefined {
  const count = pieces.length;
  if (count === 0 || !pieces[0]!.order.last) return undefined;
  const checksum = shortNameChecksum(short);
  const fits = pieces.every(
    ({ order, checksum: own }, i) => order.index === count - i && own === checksum,
  );
  if (!fits) return undefined;
  const units = pieces
    .toReversed()
    .flatMap(({ units1, units2, units3 }) => [...units1, ...units2, ...units3]);
  const end = units.indexOf(0);
  if (end >= 0 && end <= (count - 1) * unitsPerEntry) return undefined;
  return String.fromCharCode(...(end < 0 ? units : units.slice(0, end)));
}

function secondsOf({
  writtenDate,
  writtenTime,
}: Pick<LayoutValue<typeof directoryEntry>, "writtenDate" | "writtenTime">): number {
  const { yearsSince1980, month, day } = writtenDate;
  const { hours, minutes, twoSeconds } = writtenTime;
  const ms = Date.UTC(1980 + yearsSince1980, month - 1, day, hours, minutes, twoSeconds * 2);
  return ms / 1000;
}
