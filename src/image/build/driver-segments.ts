/** All segments of an image, made in the workers or found in the cache. */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { ApplianceDefinition } from "../definition.ts";
import { capturePatterns, dropPaths } from "../finish/index.ts";
import type { Lock, LockedPackage } from "../lock.ts";
import { builtinFilters, type Filter, readDeb, type UnpackRules } from "../unpack/index.ts";
import {
  decompressInWorkers,
  findKernelSegments,
  type KernelSegmentsResult,
  type SegmentResult,
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

/** All segments but those that finishing makes. */
export interface ImageSegments {
  /** In the order of `PackageRoles.userland`. */
  readonly userland: readonly { readonly locked: LockedPackage; readonly segment: SegmentResult }[];
  readonly node: SegmentResult | undefined;
  readonly kernel: KernelSegmentsResult;
}

/** Copyright files, for the bill of materials. */
const copyrightPattern = "usr/share/doc/*/copyright";

/** Makes what the cache lacks. */
export async function makeSegments(
  supplies: SegmentSupplies,
  cacheDirectory: string,
  pool: WorkerPool,
  options: BuildOptions,
): Promise<ImageSegments> {
  const { definition, roles, lock } = supplies;
  const codecs = codecsOf[options.compression];
  const signal = options.signal ? { signal: options.signal } : {};
  const pathOf = ({ name }: LockedPackage) =>
    supplies.local.get(name) ?? supplies.packages.get(name)!;
  const fileOf = (locked: LockedPackage) => ({ path: pathOf(locked), sha256: locked.sha256 });
  const { epochSeconds } = lock;
  const rules = rulesOf(definition, epochSeconds);

  const kernelInput = {
    definition: definition.kernel,
    kernel: fileOf(roles.kernel),
    firmware: roles.firmware.map(fileOf),
    microcode: roles.microcode.map(fileOf),
    epochSeconds,
    codecs: { modules: codecs.modules, firmware: codecs.firmware },
    cacheDirectory,
  };
  const kernel = async () => {
    const found = await findKernelSegments(kernelInput);
    if (found) return found;
    const path = kernelInput.kernel.path;
    const { compressedData } = readDeb(await readFile(path), basename(path));
    const archive = await decompressInWorkers(compressedData, basename(path), pool, signal);
    const input = { ...kernelInput, kernelArchive: archive };
    const weight = Number.MAX_SAFE_INTEGER;
    return await pool.run("kernelSegments", input, { ...signal, weight });
  };
  const node = async () => {
    const [locked] = lock.npm;
    if (supplies.node === undefined || locked === undefined) return undefined;
    const input = {
      path: supplies.node,
      integrity: locked.integrity,
      epochSeconds,
      codec: codecs.node,
      cacheDirectory,
    };
    return await pool.run("nodeSegment", input, { ...signal, weight: 200_000_000 });
  };
  const userland = roles.userland.map(async (locked) => {
    const input = { ...fileOf(locked), rules, codec: codecs.packages, cacheDirectory };
    const options = { ...signal, weight: locked.sizeBytes };
    return { locked, segment: await pool.run("packageSegment", input, options) };
  });
  const [madeKernel, madeNode, ...packages] = await Promise.all([kernel(), node(), ...userland]);
  return { kernel: madeKernel, node: madeNode, userland: packages };
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
    keepSetuid: [],
    capture: [...capturePatterns, copyrightPattern],
    userIds: {},
    groupIds: {},
    epochSeconds,
  };
}
