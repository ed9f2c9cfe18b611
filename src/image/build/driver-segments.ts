/** All segments of an image, made in the workers or found in the cache. */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { ApplianceDefinition } from "../definition.ts";
import type { Ownership } from "../entry.ts";
import { capturePatterns, dropPaths } from "../finish/index.ts";
import type { Lock, LockedPackage } from "../lock.ts";
import type { Codec, SegmentCache } from "../segment/index.ts";
import { builtinFilters, type Filter, readDeb, type UnpackRules } from "../unpack/index.ts";
import {
  decompressInWorkers,
  findKernelSegments,
  findSegment,
  type KernelOrder,
  type KernelSegmentsResult,
  nodeSegmentKey,
  packageSegmentKey,
  type SegmentResult,
  verifyDigest,
  type WorkerPool,
} from "../workers/index.ts";
import { type BuildOptions, codecsOf } from "./options.ts";
import type { PackageRoles } from "./plan.ts";

/** What segments are made of. */
export interface SegmentSupplies {
  readonly definition: ApplianceDefinition;
  readonly roles: PackageRoles;
  readonly lock: Lock;
  readonly packages: ReadonlyMap<string, string>;
  /** Local packages that replace downloaded ones. */
  readonly local: ReadonlyMap<string, string>;
  readonly node: string | undefined;
}

/** Where segments are looked up and made. */
export interface SegmentWorkshop {
  readonly cache: SegmentCache;
  /** Of `cache`, for the workers, which open it by themselves. */
  readonly cacheDirectory: string;
  readonly pool: WorkerPool;
  readonly options: BuildOptions;
}

/** The segment of one package. */
export interface UserlandSegment {
  readonly locked: LockedPackage;
  readonly segment: SegmentResult;
}

/** All segments but those that finishing makes. */
export interface ImageSegments {
  /** In the order of `PackageRoles.userland`. */
  readonly userland: readonly UserlandSegment[];
  readonly node: SegmentResult | undefined;
  readonly kernel: KernelSegmentsResult;
  /** A stored archive of the package with the EFI stub; it is no part of the initrd. */
  readonly stub: SegmentResult;
}

/** Copyright files, for the bill of materials. */
const copyrightPattern = "usr/share/doc/*/copyright";

/** Makes what the cache lacks. */
export async function makeSegments(
  supplies: SegmentSupplies,
  workshop: SegmentWorkshop,
): Promise<ImageSegments> {
  const rules = rulesOf(supplies.definition, supplies.lock.epochSeconds);
  const userland = supplies.roles.userland.map((locked) =>
    makeUserland(locked, rules, supplies, workshop),
  );
  const [kernel, node, stub, ...packages] = await Promise.all([
    makeKernel(supplies, workshop),
    makeNode(supplies, workshop),
    makePackage(supplies.roles.stub, rules, { kind: "store" }, supplies, workshop),
    ...userland,
  ]);
  return { kernel, node, stub, userland: packages };
}

/**
 * Gives files of packages the owners and modes that finishing has found for them: the segments in
 * which something differs are made again, or found as they were made in an earlier build.
 */
export async function applyOwnerships(
  segments: ImageSegments,
  ownerships: ReadonlyMap<string, Ownership>,
  supplies: SegmentSupplies,
  workshop: SegmentWorkshop,
): Promise<ImageSegments> {
  const rules = rulesOf(supplies.definition, supplies.lock.epochSeconds);
  const userland = segments.userland.map(async (made) => {
    const own = made.segment.listing.entries.flatMap(({ path, type, mode, uid, gid }) => {
      const wanted = type === "directory" ? undefined : ownerships.get(path);
      const isSame = wanted?.mode === mode && wanted.uid === uid && wanted.gid === gid;
      return wanted === undefined || isSame ? [] : [[path, wanted] as const];
    });
    if (own.length === 0) return made;
    const changed = { ...rules, ownerships: Object.fromEntries(own) };
    return await makeUserland(made.locked, changed, supplies, workshop);
  });
  return { ...segments, userland: await Promise.all(userland) };
}

async function makeUserland(
  locked: LockedPackage,
  rules: UnpackRules,
  supplies: SegmentSupplies,
  workshop: SegmentWorkshop,
): Promise<UserlandSegment> {
  const codec = codecsOf[workshop.options.compression].packages;
  return { locked, segment: await makePackage(locked, rules, codec, supplies, workshop) };
}

async function makePackage(
  locked: LockedPackage,
  rules: UnpackRules,
  codec: Codec,
  supplies: SegmentSupplies,
  { cache, cacheDirectory, pool, options }: SegmentWorkshop,
): Promise<SegmentResult> {
  const input = { ...fileOf(supplies, locked), rules, codec, cacheDirectory };
  const found = await findSegment(cache, packageSegmentKey(input));
  if (found) return found;
  const weight = locked.sizeBytes;
  return await pool.run("packageSegment", input, { ...signalOf(options), weight });
}

async function makeNode(
  { lock, node }: SegmentSupplies,
  { cache, cacheDirectory, pool, options }: SegmentWorkshop,
): Promise<SegmentResult | undefined> {
  const [locked] = lock.npm;
  if (node === undefined || locked === undefined) return undefined;
  const input = {
    path: node,
    integrity: locked.integrity,
    epochSeconds: lock.epochSeconds,
    codec: codecsOf[options.compression].node,
    cacheDirectory,
  };
  const found = await findSegment(cache, nodeSegmentKey(input));
  if (found) return found;
  return await pool.run("nodeSegment", input, { ...signalOf(options), weight: nodeWeightBytes });
}

/** Before any package: it takes as long as all of them. */
const nodeWeightBytes = 2 ** 40;

/**
 * Before all else: one worker reads the archives of kernel and firmware for a long time once the
 * last of them is decompressed, and the others need something left to do beside it.
 */
const archiveWeightBytes = 2 ** 50;

/** The archives of all its packages are decompressed by all workers, and then read by one. */
async function makeKernel(
  supplies: SegmentSupplies,
  { cache, cacheDirectory, pool, options }: SegmentWorkshop,
): Promise<KernelSegmentsResult> {
  const { definition, roles, lock } = supplies;
  const codecs = codecsOf[options.compression];
  const order: KernelOrder = {
    definition: definition.kernel,
    kernel: roles.kernel.map((locked) => fileOf(supplies, locked)),
    firmware: roles.firmware.map((locked) => fileOf(supplies, locked)),
    microcode: roles.microcode.map((locked) => fileOf(supplies, locked)),
    epochSeconds: lock.epochSeconds,
    codecs: { modules: codecs.modules, firmware: codecs.firmware },
    cacheDirectory,
  };
  const found = await findKernelSegments(cache, order);
  if (found) return found;
  const signal = signalOf(options);
  const files = [...order.kernel, ...order.firmware, ...order.microcode];
  const unpacked = await Promise.all(
    files.map(async ({ path, sha256 }) => {
      const bytes = await readFile(path);
      verifyDigest(bytes, path, "sha256", "hex", sha256);
      const name = basename(path);
      const { compressedData } = readDeb(bytes, name);
      const urgently = { ...signal, weight: archiveWeightBytes };
      return [sha256, await decompressInWorkers(compressedData, name, pool, urgently)] as const;
    }),
  );
  return await pool.run(
    "kernelSegments",
    { ...order, archives: Object.fromEntries(unpacked) },
    {
      ...signal,
      weight: Number.MAX_SAFE_INTEGER,
      transfer: unpacked.map(([, archive]) => archive.buffer),
    },
  );
}

function fileOf({ packages, local }: SegmentSupplies, { name, sha256 }: LockedPackage) {
  return { path: local.get(name) ?? packages.get(name)!, sha256 };
}

function signalOf({ signal }: BuildOptions): { readonly signal?: AbortSignal } {
  return signal ? { signal } : {};
}

function rulesOf(definition: ApplianceDefinition, epochSeconds: number): UnpackRules {
  const dropped = Object.entries(dropPaths).map(
    ([glob, reason]): Filter => ({
      reason,
      globs: [glob],
    }),
  );
  const own: Filter = {
    reason: "the definition leaves it out",
    globs: definition.excludeFiles ?? [],
  };
  return {
    filters: [...builtinFilters, ...dropped, own],
    keepSetuid: definition.keepSetuid ?? [],
    capture: [...capturePatterns, copyrightPattern],
    userIds: {},
    groupIds: {},
    epochSeconds,
  };
}
