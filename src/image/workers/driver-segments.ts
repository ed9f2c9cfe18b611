/** The tasks that read a downloaded file, make its segment and put it into the cache. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { ImageError } from "../error.ts";
import {
  type CachedSegment,
  type Codec,
  canonicalJson,
  type ListingFacts,
  makeSegment,
  SegmentCache,
  type SegmentListing,
  type SegmentLog,
  segmentKey,
} from "../segment/index.ts";
import {
  type Deb,
  readDeb,
  treeOfDeb,
  treeOfNodePackage,
  type UnpackedTree,
  type UnpackRules,
} from "../unpack/index.ts";
import type { Task } from "./task.ts";
import { verifyDigest } from "./verify.ts";

/** A package to make a segment of. */
export interface PackageSegmentInput {
  /** The downloaded .deb. */
  readonly path: string;
  /** Its SHA-256 in the lock, lower-case hex. */
  readonly sha256: string;
  readonly rules: UnpackRules;
  readonly codec: Codec;
  readonly cacheDirectory: string;
}

/** The npm package of Node.js to make a segment of. */
export interface NodeSegmentInput {
  /** The downloaded tarball. */
  readonly path: string;
  /** Its integrity in the lock: `sha512-…`, base64. */
  readonly integrity: string;
  readonly epochSeconds: number;
  readonly codec: Codec;
  readonly cacheDirectory: string;
}

/** A segment in the cache, without its bytes. */
export interface SegmentResult {
  readonly key: string;
  /** The file of the cache that holds the bytes. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly codec: Codec;
  readonly listing: SegmentListing;
  /** Whether the cache had it. */
  readonly cached: boolean;
  /** The bytes, where they are in this thread's memory already. */
  readonly bytes?: Uint8Array;
}

/** Part of every key, since another version makes other bytes. */
const libzstd = process.versions.zstd ?? "unknown";

/** The cache key of a package's segment: known before the package is. */
export function packageSegmentKey({ sha256, rules, codec }: PackageSegmentInput): string {
  const ingredients = { kind: "package", sha256, rules: digestOfRules(rules) };
  return segmentKey(ingredients, codec, libzstd);
}

const digests = new WeakMap<UnpackRules, string>();

/** Hash of rules, which most packages of a build share. */
function digestOfRules(rules: UnpackRules): string {
  const known = digests.get(rules);
  if (known !== undefined) return known;
  const { filters, keepSetuid, ownerships = {}, capture, userIds, groupIds, epochSeconds } = rules;
  const owners = Object.entries(ownerships).map(([path, owner]) => [path, plain(owner)] as const);
  const all = {
    filters: filters.map(plain),
    keepSetuid,
    ownerships: Object.fromEntries(owners),
    capture,
    userIds,
    groupIds,
    epochSeconds,
  };
  const digest = createHash("sha256").update(canonicalJson(all)).digest("hex");
  digests.set(rules, digest);
  return digest;
}

/** The cache key of the segment of Node.js. */
export function nodeSegmentKey({ integrity, epochSeconds, codec }: NodeSegmentInput): string {
  const ingredients = { kind: "node", integrity, epochSeconds };
  return segmentKey(ingredients, codec, libzstd);
}

/**
 * The segment of `key`, with its bytes, when the cache has it.
 * Rejects with ImageError `io` when the cache cannot be read.
 */
export async function findSegment(
  cache: SegmentCache,
  key: string,
): Promise<SegmentResult | undefined> {
  const found = await cache.find(key);
  return found && { ...resultOf(found, true), bytes: found.bytes };
}

/**
 * Makes the segment of a .deb, unless the cache has it.
 * Rejects with ImageError `hash` when the file is another one, `package` when it cannot be
 * unpacked, `io` or `disk-full`.
 */
export const packageSegment: Task<PackageSegmentInput, SegmentResult> = (input, { log }) =>
  segmentOf(packageSegmentKey(input), input, log, (bytes) => {
    verifyDigest(bytes, input.path, "sha256", "hex", input.sha256);
    const deb = readDeb(bytes, basename(input.path));
    return { ...treeOfDeb(deb, input.rules), facts: factsOf(deb) };
  });

/** Makes the segment of the Node.js binary, unless the cache has it; rejects in the same way. */
export const nodeSegment: Task<NodeSegmentInput, SegmentResult> = (input, { log }) =>
  segmentOf(nodeSegmentKey(input), input, log, (bytes) => {
    verifyDigest(bytes, input.path, "sha512", "base64", input.integrity.replace(/^sha512-/, ""));
    return treeOfNodePackage(bytes, basename(input.path), input.epochSeconds);
  });

interface SegmentOrder {
  readonly path: string;
  readonly codec: Codec;
  readonly cacheDirectory: string;
}
type Content = UnpackedTree & { readonly facts?: ListingFacts };

async function segmentOf(
  key: string,
  { path, codec, cacheDirectory }: SegmentOrder,
  log: SegmentLog,
  unpack: (bytes: Uint8Array) => Content,
): Promise<{ value: SegmentResult }> {
  const cache = new SegmentCache(cacheDirectory, log);
  const found = await cache.find(key);
  if (found !== undefined) return { value: resultOf(found, true) };
  const { entries, captured, facts } = unpack(await readInput(path));
  const segment = makeSegment(entries, codec, { ...facts, captured });
  return { value: resultOf(await cache.store(key, segment), false) };
}

/** What a task hands back of a segment in the cache; the bytes stay in its thread. */
export function resultOf(segment: CachedSegment, cached: boolean): SegmentResult {
  const { key, path, sha256, codec, listing, bytes } = segment;
  return { key, path, sizeBytes: bytes.length, sha256, codec, listing, cached };
}

function factsOf({ control, scripts }: Deb): ListingFacts {
  const hashed = Array.from(scripts, ([name, script]) => [
    name,
    createHash("sha256").update(script).digest("hex"),
  ]);
  return { control: Object.fromEntries(control), scripts: Object.fromEntries(hashed) };
}

async function readInput(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `Cannot read the downloaded file ${path}: ${reason}. Build again to fetch it.`;
    throw new ImageError("io", message, { path }, { cause });
  }
}

/** An object type as a plain one, for JSON. */
function plain<T extends object>(value: T): { readonly [K in keyof T]: T[K] } {
  return { ...value };
}
