/** From segments to the EFI file and the disk image, as values. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { ApplianceDefinition } from "../definition.ts";
import { ImageError } from "../error.ts";
import type { Finished } from "../finish/index.ts";
import type { Lock } from "../lock.ts";
import { planRaw, type RawPlan } from "../raw/index.ts";
import { concatenateSegments, makeSegment, readCpio, type Segment } from "../segment/index.ts";
import { buildUki, type Uki } from "../uki/index.ts";
import { type SegmentResult, vmlinuzPath } from "../workers/index.ts";
import { breakLinks } from "./break-links.ts";
import { firstEntries, stampEntries } from "./complete.ts";
import type { ImageSegments } from "./driver-segments.ts";
import { type BuildOptions, codecsOf } from "./options.ts";
import { stubPackage } from "./plan.ts";

/** One segment as it lies in the initrd. */
export interface PlacedSegment {
  readonly name: string;
  readonly sizeBytes: number;
  readonly unpackedBytes: number;
  readonly sha256: string;
}

/** The finished image, not yet on disk. */
export interface AssembledImage {
  readonly uki: Uki;
  readonly raw: RawPlan;
  readonly segments: readonly PlacedSegment[];
  /** Hash of everything that the image is made of; also the stamp's content. */
  readonly buildId: string;
}

const stubPath = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/** Puts an image together; large parts stay in the buffers they were read into. */
export async function assembleImage(input: {
  readonly definition: ApplianceDefinition;
  readonly lock: Lock;
  readonly segments: ImageSegments;
  readonly finished: Finished;
  readonly options: BuildOptions;
}): Promise<AssembledImage> {
  const { definition, lock, segments, finished, options } = input;
  const { epochSeconds } = lock;
  const codec = codecsOf[options.compression].packages;
  const ordered = orderOf(segments);
  const shipped = ordered.flatMap(([, { listing }]) => listing.entries);
  const config = makeSegment(breakLinks(finished.entries, shipped), codec);
  const named = [
    placeSegment("first", makeSegment(firstEntries(epochSeconds), codec)),
    ...(await Promise.all(
      ordered.map(async ([name, segment]) => placeResult(name, segment, await bytesOf(segment))),
    )),
    placeSegment("config", config),
  ];
  const { vmlinuz: kernel, microcode } = segments.kernel;
  const ingredients = [
    ...named,
    { name: "kernel", sha256: kernel.sha256 },
    { name: "microcode", sha256: microcode.sha256 },
    { name: "stub", sha256: segments.stub.sha256 },
  ];
  const buildId = createHash("sha256")
    .update(ingredients.map(({ name, sha256 }) => `${name} ${sha256}\n`).join(""))
    .update(definition.kernelCommandLine.join(" "))
    .digest("hex");
  const stamp = placeSegment("stamp", makeSegment(stampEntries(buildId, epochSeconds), codec));
  const all = [...named, stamp];

  const vmlinuz = await bytesOf(kernel);
  const uki = buildUki({
    stub: findStub(await bytesOf(segments.stub)),
    sections: {
      osrel: finished.osRelease,
      cmdline: definition.kernelCommandLine.join(" "),
      linux: kernelOf(vmlinuz),
      initrd: concatenateSegments(all),
      ucode: await bytesOf(microcode),
    },
  });
  const raw = planRaw({ efi: uki, epochSeconds, seed: buildId });
  return { uki, raw, segments: all, buildId };
}

type Placed = PlacedSegment & Pick<Segment, "bytes" | "codec">;

/** A segment's bytes; those that a worker has just made are still to be read. */
async function bytesOf({ bytes, path }: SegmentResult): Promise<Uint8Array> {
  return bytes ?? (await readFile(path));
}

/**
 * What systemd needs comes first, so that a root that is too small for the whole image still comes
 * up far enough to say so; what is large comes last.
 */
function orderOf(segments: ImageSegments): (readonly [string, SegmentResult])[] {
  return [
    ...segments.userland.map(({ locked, segment }) => [locked.name, segment] as const),
    ...(segments.node ? [["node", segments.node] as const] : []),
    ["firmware", segments.kernel.firmware],
    ["modules", segments.kernel.modules],
  ];
}

function placeResult(name: string, segment: SegmentResult, bytes: Uint8Array): Placed {
  const { sizeBytes, sha256, codec, listing } = segment;
  const unpackedBytes = listing.entries.reduce((sum, entry) => sum + entry.sizeBytes, 0);
  return { name, sizeBytes, unpackedBytes, sha256, bytes, codec };
}

function placeSegment(name: string, { bytes, listing, codec }: Segment): Placed {
  return {
    name,
    bytes,
    sizeBytes: bytes.length,
    unpackedBytes: listing.entries.reduce((sum, entry) => sum + entry.sizeBytes, 0),
    sha256: createHash("sha256").update(bytes).digest("hex"),
    codec,
  };
}

function findStub(archive: Uint8Array): Uint8Array {
  const { entries } = readCpio(archive, stubPackage);
  const found = entries.find(({ path }) => path === stubPath);
  if (found?.type === "file") return found.data;
  throw new ImageError("uki", `Cannot find ${stubPath} in the package ${stubPackage}.`, {
    package: stubPackage,
    path: stubPath,
  });
}

function kernelOf(archive: Uint8Array): Uint8Array {
  const { entries } = readCpio(archive, "the cached kernel");
  const found = entries.find(({ path }) => path === vmlinuzPath);
  if (found?.type !== "file") throw new Error(`the kernel's segment holds ${vmlinuzPath}`);
  return found.data;
}
