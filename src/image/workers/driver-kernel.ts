/** The task that makes the kernel's share of an image and puts it into the segment cache. */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { KernelDefinition } from "../definition.ts";
import { type KernelReport, kernelJob } from "../kernel/index.ts";
import { type Codec, type Json, makeSegment, SegmentCache, segmentKey } from "../segment/index.ts";
import { readDeb, readTar, treeOfDeb, treeOfTar, type UnpackRules } from "../unpack/index.ts";
import { resultOf, type SegmentResult } from "./driver-segments.ts";
import type { Task } from "./task.ts";
import { verifyDigest } from "./verify.ts";

/** A downloaded .deb by its hash in the lock. */
export interface PinnedFile {
  readonly path: string;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Everything that the kernel's share depends on. */
export interface KernelSegmentsInput {
  readonly definition: KernelDefinition;
  readonly kernel: PinnedFile;
  /** The kernel package's data archive, decompressed by the caller across the workers. */
  readonly kernelArchive: Uint8Array;
  readonly firmware: readonly PinnedFile[];
  readonly microcode: readonly PinnedFile[];
  readonly epochSeconds: number;
  /** For modules, which are compressed already, and for firmware and indexes, which are not. */
  readonly codecs: { readonly modules: Codec; readonly firmware: Codec };
  readonly cacheDirectory: string;
}

/** The kernel's share: all of it lies in the cache. */
export interface KernelSegmentsResult {
  readonly modules: SegmentResult;
  readonly firmware: SegmentResult;
  /** A stored archive with the one file `boot/vmlinuz`. */
  readonly vmlinuz: SegmentResult;
  /** A stored archive as the kernel looks for it at the very start of the initrd. */
  readonly microcode: SegmentResult;
  readonly release: string;
  readonly report: KernelReport;
}

/** The file of the `vmlinuz` segment. */
export const vmlinuzPath = "boot/vmlinuz";

const stored: Codec = { kind: "store" };

/** Looks the kernel's share up; nothing when a part of it is not in the cache. */
export async function findKernelSegments(
  input: Omit<KernelSegmentsInput, "kernelArchive">,
): Promise<KernelSegmentsResult | undefined> {
  const cache = new SegmentCache(input.cacheDirectory);
  const found = await Promise.all(parts.map((part) => cache.find(keyOf(input, part))));
  const [modules, firmware, vmlinuz, microcode] = found;
  if (!modules || !firmware || !vmlinuz || !microcode) return undefined;
  const facts = modules.listing.captured[factsName];
  if (facts === undefined || !("text" in facts)) return undefined;
  return {
    modules: resultOf(modules, true),
    firmware: resultOf(firmware, true),
    vmlinuz: resultOf(vmlinuz, true),
    microcode: resultOf(microcode, true),
    ...(JSON.parse(facts.text) as KernelFacts),
  };
}

/**
 * Makes the kernel's share.
 * Rejects with ImageError `hash`, `package`, `kernel`, `module`, `firmware`, `io` or `disk-full`.
 */
export const kernelSegments: Task<KernelSegmentsInput, KernelSegmentsResult> = async (
  input,
  { log },
) => {
  const rules = rulesOf(input.epochSeconds);
  const archive = readTar(input.kernelArchive, basename(input.kernel.path));
  const job = kernelJob({
    definition: input.definition,
    kernelFiles: treeOfTar(archive, rules, basename(input.kernel.path)).entries,
    firmwareFiles: await entriesOf(input.firmware, rules),
    microcodeFiles: await entriesOf(input.microcode, rules),
    epochSeconds: input.epochSeconds,
  });
  const isModule = (path: string) => path.endsWith(".ko.xz");
  const folders = job.entries.filter(({ type }) => type === "directory");
  const modules = job.entries.filter(({ path, type }) => type === "directory" || isModule(path));
  const others = job.entries.filter(({ type, path }) => type !== "directory" && !isModule(path));
  const facts: KernelFacts = { release: job.release, report: job.report };
  const captured = { [factsName]: { text: JSON.stringify(facts) } };
  const cache = new SegmentCache(input.cacheDirectory, log);
  const store = async (part: Part, segment: Parameters<typeof cache.store>[1]) =>
    resultOf(await cache.store(keyOf(input, part), segment), false);
  const vmlinuz = {
    type: "file",
    path: vmlinuzPath,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds: input.epochSeconds,
    data: job.vmlinuz,
  } as const;
  return {
    value: {
      ...facts,
      firmware: await store(
        "firmware",
        makeSegment([...folders, ...others], input.codecs.firmware),
      ),
      vmlinuz: await store("vmlinuz", makeSegment([vmlinuz], stored)),
      microcode: await store("microcode", makeSegment(job.microcode, stored)),
      modules: await store("modules", makeSegment(modules, input.codecs.modules, { captured })),
    },
  };
};

interface KernelFacts {
  readonly release: string;
  readonly report: KernelReport;
}

const factsName = "kernel-facts.json";
const parts = ["modules", "firmware", "vmlinuz", "microcode"] as const;
type Part = (typeof parts)[number];

function keyOf(input: Omit<KernelSegmentsInput, "kernelArchive">, part: Part): string {
  const { definition, kernel, firmware, microcode, epochSeconds, codecs } = input;
  const codec = part === "modules" || part === "firmware" ? codecs[part] : stored;
  const ingredients = {
    kind: `kernel-${part}`,
    // Every field of a definition is JSON.
    definition: JSON.parse(JSON.stringify(definition)) as Json,
    kernel: kernel.sha256,
    firmware: firmware.map(({ sha256 }) => sha256),
    microcode: microcode.map(({ sha256 }) => sha256),
    epochSeconds,
  };
  return segmentKey(ingredients, codec, process.versions.zstd ?? "unknown");
}

async function entriesOf(files: readonly PinnedFile[], rules: UnpackRules) {
  const trees = await Promise.all(
    files.map(async ({ path, sha256 }) => {
      const bytes = await readFile(path);
      verifyDigest(bytes, path, "sha256", "hex", sha256);
      return treeOfDeb(readDeb(bytes, basename(path)), rules).entries;
    }),
  );
  return trees.flat();
}

function rulesOf(epochSeconds: number): UnpackRules {
  return { filters: [], keepSetuid: [], capture: [], userIds: {}, groupIds: {}, epochSeconds };
}
