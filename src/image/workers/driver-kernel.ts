/** The task that makes the kernel's share of an image and puts it into the segment cache. */

import { basename } from "node:path";
import type { KernelDefinition } from "../definition.ts";
import type { Entry } from "../entry.ts";
import { type KernelReport, kernelJob } from "../kernel/index.ts";
import { type Codec, type Json, makeSegment, SegmentCache, segmentKey } from "../segment/index.ts";
import { readTar, treeOfTar, type UnpackRules } from "../unpack/index.ts";
import { findSegment, resultOf, type SegmentResult } from "./driver-segments.ts";
import { type KernelFacts, parseKernelFacts } from "./kernel-facts.ts";
import type { Task } from "./task.ts";

/** A downloaded .deb by its hash in the lock. */
export interface PinnedFile {
  readonly path: string;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Everything that the kernel's share depends on. */
export interface KernelSegmentsInput {
  readonly definition: KernelDefinition;
  readonly kernel: readonly PinnedFile[];
  readonly firmware: readonly PinnedFile[];
  readonly microcode: readonly PinnedFile[];
  readonly epochSeconds: number;
  /** For modules, which are compressed already, and for firmware and indexes, which are not. */
  readonly codecs: { readonly modules: Codec; readonly firmware: Codec };
  readonly cacheDirectory: string;
  /** SHA-256 of each of these packages → its data archive, decompressed across the workers. */
  readonly archives: Readonly<Record<string, Uint8Array>>;
}

/** The kernel's share without what only making it takes. */
export type KernelOrder = Omit<KernelSegmentsInput, "archives">;

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
  cache: SegmentCache,
  input: KernelOrder,
): Promise<KernelSegmentsResult | undefined> {
  const found = await Promise.all(parts.map((part) => findSegment(cache, keyOf(input, part))));
  const [modules, firmware, vmlinuz, microcode] = found;
  if (!modules || !firmware || !vmlinuz || !microcode) return undefined;
  const captured = modules.listing.captured[factsName];
  const facts = captured && "text" in captured ? parseKernelFacts(captured.text) : undefined;
  return facts && { modules, firmware, vmlinuz, microcode, ...facts };
}

/**
 * Makes the kernel's share.
 * Rejects with ImageError `package`, `kernel`, `module`, `firmware`, `io` or `disk-full`.
 */
export const kernelSegments: Task<KernelSegmentsInput, KernelSegmentsResult> = async (
  input,
  { log },
) => {
  const job = kernelJob({
    definition: input.definition,
    kernelFiles: entriesOf(input.kernel, input),
    firmwareFiles: entriesOf(input.firmware, input),
    microcodeFiles: entriesOf(input.microcode, input),
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

const factsName = "kernel-facts.json";
const parts = ["modules", "firmware", "vmlinuz", "microcode"] as const;
type Part = (typeof parts)[number];

function keyOf(input: KernelOrder, part: Part): string {
  const { definition, kernel, firmware, microcode, epochSeconds, codecs } = input;
  const codec = part === "modules" || part === "firmware" ? codecs[part] : stored;
  const ingredients = {
    kind: `kernel-${part}`,
    // Every field of a definition is JSON.
    definition: JSON.parse(JSON.stringify(definition)) as Json,
    kernel: kernel.map(({ sha256 }) => sha256),
    firmware: firmware.map(({ sha256 }) => sha256),
    microcode: microcode.map(({ sha256 }) => sha256),
    epochSeconds,
  };
  return segmentKey(ingredients, codec, process.versions.zstd ?? "unknown");
}

function entriesOf(files: readonly PinnedFile[], input: KernelSegmentsInput): Entry[] {
  const rules = rulesOf(input.epochSeconds);
  return files.flatMap(({ path, sha256 }) => {
    const name = basename(path);
    return treeOfTar(readTar(input.archives[sha256]!, name), rules, name).entries;
  });
}

function rulesOf(epochSeconds: number): UnpackRules {
  return { filters: [], keepSetuid: [], capture: [], userIds: {}, groupIds: {}, epochSeconds };
}
