/**
 * Delta or full: whether a disk is compared with the image by digests first, or written as it comes.
 * What is known beforehand is a sample; what turns out on the way may change it once, to full.
 */

import {
  BlockError,
  type CallOptions,
  digestBytes,
  digestUnits,
  isZeroDigest,
} from "../../block/index.ts";
import type { Image } from "../image.ts";
import { unitBytes } from "../integrity/hasher.ts";
import { pieceBytes } from "../piece.ts";
import { formatRate } from "../size.ts";
import { type DiskRange, type Target, targetError } from "../target.ts";

/** What was decided, and why. */
export interface Mode {
  readonly mode: "delta" | "full";
  /** For people. */
  readonly reason: string;
}

/** What was found out about a disk beforehand. */
export interface Sample {
  /** What the link carries, by reading. */
  readonly linkBytesPerSecond: number;
  /** Units of data that were looked at, and those of them that differ; none for a stream. */
  readonly units: number;
  readonly differing: number;
}

const samplePieces = 16;
/** Less than this is compared at once: nothing is gained by asking first. */
const sampledBytesMin = 64 * pieceBytes;
/** From this share of differing units on, looking for the rest costs more than it saves. */
const differingMax = 0.6;
/** So much is compared before that share is believed. */
const comparedBytesMin = 128 * pieceBytes;

/** Reads some places of the disk, and of the image where it can be read anywhere. */
export async function takeSample(
  target: Target,
  image: Image,
  range: DiskRange,
  clock: () => number,
  options: CallOptions,
): Promise<Sample | undefined> {
  const lengthBytes = range.toBytes - range.fromBytes;
  if (lengthBytes < sampledBytesMin) return undefined;
  const stepBytes = Math.floor(lengthBytes / samplePieces / pieceBytes) * pieceBytes;
  const places = Array.from({ length: samplePieces }, (_, n) => range.fromBytes + n * stepBytes);
  const disk = places.map(() => new Uint8Array(pieceBytes));
  const began = clock();
  try {
    await Promise.all(disk.map((found, n) => target.disk.read(places[n] ?? 0, found, options)));
  } catch (error) {
    // What cannot be read may well be written.
    if (error instanceof BlockError && error.code === "medium") return undefined;
    throw targetError(error, target, "look at what it holds");
  }
  const tookMs = Math.max(1, clock() - began);
  const sample = { units: 0, differing: 0 };
  const { random } = image;
  if (random) {
    const wanted = new Uint8Array(pieceBytes);
    for (const [n, found] of disk.entries()) {
      await random.readAt(places[n] ?? 0, wanted, options);
      countDiffering(wanted, found, sample);
    }
  }
  return { linkBytesPerSecond: (samplePieces * pieceBytes * 1000) / tookMs, ...sample };
}

function countDiffering(
  wanted: Uint8Array,
  found: Uint8Array,
  sample: { units: number; differing: number },
): void {
  for (let at = 0; at < pieceBytes; at += unitBytes) {
    const unit = wanted.subarray(at, at + unitBytes);
    const digest = new Uint8Array(digestBytes);
    digestUnits(unit, unitBytes, digest, 0);
    // Zeros cost nothing, whether they differ or not.
    if (isZeroDigest(digest, 0)) continue;
    sample.units++;
    if (Buffer.compare(unit, found.subarray(at, at + unitBytes)) !== 0) sample.differing++;
  }
}

/** What a sample speaks for. */
export function modeBySample(sample: Sample | undefined): Mode {
  if (!sample) return { mode: "delta", reason: "little is to be compared" };
  const { units, differing } = sample;
  if (units === 0) return { mode: "delta", reason: "what is there is compared as it comes" };
  const reason = `${differing} of ${units} sampled units differ`;
  return differing > units * differingMax ? { mode: "full", reason } : { mode: "delta", reason };
}

/** What is known on the way. */
export interface Progress {
  /** Data that was compared, zeros aside, and what of it differed. */
  readonly comparedBytes: number;
  readonly differingBytes: number;
  readonly hashBytesPerSecond: number | undefined;
  readonly linkBytesPerSecond: number | undefined;
  readonly isVerified: boolean;
}

/** Why the rest is better written in full; undefined as long as comparing pays. */
export function whyFull(progress: Progress): string | undefined {
  const { comparedBytes, differingBytes, hashBytesPerSecond, linkBytesPerSecond } = progress;
  const share = comparedBytes > 0 ? differingBytes / comparedBytes : 0;
  if (comparedBytes >= comparedBytesMin && share > differingMax) {
    return `${Math.round(share * 100)} % of what was compared so far differs`;
  }
  if (hashBytesPerSecond === undefined || linkBytesPerSecond === undefined) return undefined;
  // Seconds for one byte: hash, send what differs and hash that again; or send, and read back.
  const verified = progress.isVerified ? 1 : 0;
  const delta = (1 + share * verified) / hashBytesPerSecond + share / linkBytesPerSecond;
  const full = (1 + verified) / linkBytesPerSecond;
  if (delta <= full) return undefined;
  const [hashes, carries] = [hashBytesPerSecond, linkBytesPerSecond].map(formatRate);
  return `the box hashes ${hashes}, and the link carries ${carries}`;
}
