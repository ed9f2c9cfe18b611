/** FAT volumes of any origin: list, read, count free space; damage is a value. */

import { type BlockDevice, BlockError, type CallOptions } from "../../block/index.ts";
import { viewOf } from "../../bytes/index.ts";
import { decodeFatBoot, type FatBoot } from "./boot.ts";
import { decodeDirectory, type FatEntry } from "./directory.ts";
import { fat32Entry } from "./layout.ts";
import { nameKey } from "./names.ts";

/** Why something on a volume cannot be had. */
export type FatDamageReason =
  | "no-volume"
  | "outside-device"
  | "unreadable"
  | "not-found"
  | "not-a-file"
  | "not-a-directory"
  | "too-large"
  | "chain-leaves-volume"
  | "chain-ends-early"
  | "chain-too-long";

/** What is wrong and where; `found` is what the reason speaks of. */
export interface FatDamage {
  readonly reason: FatDamageReason;
  readonly path?: string;
  readonly found?: number | string;
}

/** A value, or why there is none. */
export type FatOutcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly damage: FatDamage };

/** How a file is read. */
export interface FatReadOptions extends CallOptions {
  readonly bytesMax?: number;
}

/** An open file. */
export interface FatOpenFile {
  readonly sizeBytes: number;
  /** Fewer bytes than `lengthBytes` only where the file ends. */
  read(
    offsetBytes: number,
    lengthBytes: number,
    options?: CallOptions,
  ): Promise<FatOutcome<Uint8Array>>;
}

/** Clusters that follow each other. */
interface Run {
  readonly first: number;
  count: number;
}

interface Chain {
  readonly runs: readonly Run[];
  readonly sizeBytes: number;
}

/** Directories are read up to this size, which is the format's own limit. */
const directoryBytesMax = 65536 * 32;
const fileBytesMaxUsual = 512 * 1024 * 1024;
const windowBytes = 64 * 1024;

/**
 * Reads the boot sector of the volume that lies at `offsetBytes` of `device`.
 * @throws BlockError other than `medium`, here and in the methods, as the device does.
 */
export async function openFat(
  device: BlockDevice,
  offsetBytes = 0,
  options?: CallOptions,
): Promise<FatOutcome<FatVolume>> {
  const source = new Source(device, offsetBytes);
  const sector = await source.read(0, 512, options);
  if (!sector.ok) return sector;
  const boot = decodeFatBoot(sector.value);
  if ("reason" in boot) return damaged({ reason: "no-volume", found: boot.reason });
  return { ok: true, value: new FatVolume(source, boot) };
}

/** An open volume. Paths are separated by `/`, begin with none, and ignore case. */
export class FatVolume {
  readonly boot: FatBoot;
  readonly #source: Source;
  #window: { start: number; bytes: Uint8Array } | undefined;

  /** Made by `openFat`. */
  constructor(source: Source, boot: FatBoot) {
    this.#source = source;
    this.boot = boot;
  }

  /** Entries of a directory, `""` for the root; without `.`, `..` and the label. */
  async list(path: string, options?: CallOptions): Promise<FatOutcome<readonly FatEntry[]>> {
    const found = await this.#find(path, options);
    if (!found.ok) return found;
    if (found.value && found.value.type !== "directory") {
      return damaged({ reason: "not-a-directory", path });
    }
    return this.#entries(found.value?.firstCluster, path, options);
  }

  /** A file's bytes, when they are at most `bytesMax` (512 MiB unless told). */
  async read(path: string, options?: FatReadOptions): Promise<FatOutcome<Uint8Array>> {
    const { bytesMax = fileBytesMaxUsual } = options ?? {};
    const found = await this.#findFile(path, options);
    if (!found.ok) return found;
    const { sizeBytes } = found.value;
    if (sizeBytes > bytesMax) return damaged({ reason: "too-large", path, found: sizeBytes });
    const file = await this.#openEntry(found.value, path, options);
    return file.ok ? await file.value.read(0, sizeBytes, options) : file;
  }

  /** A file of any size, to be read piece by piece. */
  async openFile(path: string, options?: CallOptions): Promise<FatOutcome<FatOpenFile>> {
    const found = await this.#findFile(path, options);
    return found.ok ? await this.#openEntry(found.value, path, options) : found;
  }

  /** Free space by the first FAT, not by what FSInfo remembers. */
  async freeBytes(options?: CallOptions): Promise<FatOutcome<number>> {
    let free = 0;
    for (let cluster = 2; cluster < this.boot.clusters + 2; cluster++) {
      const next = await this.#next(cluster, options);
      if (!next.ok) return next;
      if (next.value === 0) free++;
    }
    return { ok: true, value: free * this.boot.clusterBytes };
  }

  /** The entry at `path`; `undefined` is the root. */
  async #find(path: string, options?: CallOptions): Promise<FatOutcome<FatEntry | undefined>> {
    let entry: FatEntry | undefined;
    for (const name of path.split("/").filter((part) => part !== "")) {
      if (entry && entry.type !== "directory") return damaged({ reason: "not-a-directory", path });
      const entries = await this.#entries(entry?.firstCluster, path, options);
      if (!entries.ok) return entries;
      const key = nameKey(name);
      entry = entries.value.find((one) => nameKey(one.name) === key || one.shortName === key);
      if (!entry) return damaged({ reason: "not-found", path });
    }
    return { ok: true, value: entry };
  }

  async #findFile(path: string, options?: CallOptions): Promise<FatOutcome<FatEntry>> {
    const found = await this.#find(path, options);
    if (!found.ok) return found;
    if (found.value?.type === "file") return { ok: true, value: found.value };
    return damaged({ reason: "not-a-file", path });
  }

  async #openEntry(
    { firstCluster, sizeBytes }: FatEntry,
    path: string,
    options?: CallOptions,
  ): Promise<FatOutcome<FatOpenFile>> {
    const { clusters, clusterBytes } = this.boot;
    if (sizeBytes > clusters * clusterBytes) {
      return damaged({ reason: "too-large", path, found: sizeBytes });
    }
    const chain: FatOutcome<Chain> =
      sizeBytes === 0
        ? { ok: true, value: { runs: [], sizeBytes } }
        : await this.#chain(firstCluster, path, options, sizeBytes);
    if (!chain.ok) return chain;
    const read = (offsetBytes: number, lengthBytes: number, own?: CallOptions) =>
      this.#readRuns(chain.value, offsetBytes, lengthBytes, own);
    return { ok: true, value: { sizeBytes, read } };
  }

  /** Without a cluster: of the root directory. */
  async #entries(
    firstCluster: number | undefined,
    path: string,
    options?: CallOptions,
  ): Promise<FatOutcome<readonly FatEntry[]>> {
    const { kind, rootCluster, rootBytes, rootOffset } = this.boot;
    const bytes =
      firstCluster === undefined && kind === "fat16"
        ? await this.#source.read(rootOffset, rootBytes, options)
        : await this.#readDirectory(firstCluster ?? rootCluster, path, options);
    return bytes.ok ? { ok: true, value: decodeDirectory(bytes.value) } : bytes;
  }

  async #readDirectory(
    firstCluster: number,
    path: string,
    options?: CallOptions,
  ): Promise<FatOutcome<Uint8Array>> {
    const chain = await this.#chain(firstCluster, path, options);
    return chain.ok ? await this.#readRuns(chain.value, 0, chain.value.sizeBytes, options) : chain;
  }

  /** Where a chain lies: `sizeBytes` of it, or to its end for a directory. */
  async #chain(
    firstCluster: number,
    path: string,
    options: CallOptions | undefined,
    sizeBytes?: number,
  ): Promise<FatOutcome<Chain>> {
    const { clusterBytes } = this.boot;
    const clustersMax = Math.ceil((sizeBytes ?? directoryBytesMax) / clusterBytes);
    const runs: Run[] = [];
    let count = 0;
    for (let cluster = firstCluster; ; ) {
      if (cluster < 2 || cluster >= this.boot.clusters + 2) {
        return damaged({ reason: "chain-leaves-volume", path, found: cluster });
      }
      const last = runs.at(-1);
      if (last && cluster === last.first + last.count) last.count++;
      else runs.push({ first: cluster, count: 1 });
      count++;
      if (sizeBytes !== undefined && count === clustersMax) break;
      const next = await this.#next(cluster, options);
      if (!next.ok) return next;
      if (next.value >= this.boot.endMark) {
        if (sizeBytes === undefined) break;
        return damaged({ reason: "chain-ends-early", path, found: count * clusterBytes });
      }
      if (count >= clustersMax) {
        return damaged({ reason: "chain-too-long", path, found: count * clusterBytes });
      }
      cluster = next.value;
    }
    return { ok: true, value: { runs, sizeBytes: sizeBytes ?? count * clusterBytes } };
  }

  async #readRuns(
    { runs, sizeBytes }: Chain,
    offsetBytes: number,
    lengthBytes: number,
    options?: CallOptions,
  ): Promise<FatOutcome<Uint8Array>> {
    const end = Math.min(offsetBytes + lengthBytes, sizeBytes);
    const { clusterBytes, dataOffset } = this.boot;
    const wanted = new Uint8Array(Math.max(0, end - offsetBytes));
    let runStart = 0;
    for (const { first, count } of runs) {
      const runEnd = runStart + count * clusterBytes;
      const from = Math.max(offsetBytes, runStart);
      const to = Math.min(end, runEnd);
      if (from < to) {
        const offset = dataOffset + (first - 2) * clusterBytes + (from - runStart);
        const part = await this.#source.read(offset, to - from, options);
        if (!part.ok) return part;
        wanted.set(part.value, from - offsetBytes);
      }
      runStart = runEnd;
    }
    return { ok: true, value: wanted };
  }

  /** What the first FAT has for a cluster. */
  async #next(cluster: number, options?: CallOptions): Promise<FatOutcome<number>> {
    const { entryBytes, fatOffset, clusters } = this.boot;
    const at = cluster * entryBytes;
    const start = at - (at % windowBytes);
    if (this.#window?.start !== start) {
      const length = Math.min(windowBytes, (clusters + 2) * entryBytes - start);
      const read = await this.#source.read(fatOffset + start, length, options);
      if (!read.ok) return read;
      this.#window = { start, bytes: read.value };
    }
    const view = viewOf(this.#window.bytes);
    const value =
      entryBytes === 4 ? fat32Entry.read(view, at - start).next : view.getUint16(at - start, true);
    return { ok: true, value };
  }
}

/** Bytes of the volume, whatever the device's blocks. */
class Source {
  readonly #device: BlockDevice;
  readonly #offsetBytes: number;

  constructor(device: BlockDevice, offsetBytes: number) {
    this.#device = device;
    this.#offsetBytes = offsetBytes;
  }

  async read(
    offsetBytes: number,
    lengthBytes: number,
    options?: CallOptions,
  ): Promise<FatOutcome<Uint8Array>> {
    const { blockSizeBytes, sizeBytes } = this.#device;
    const from = this.#offsetBytes + offsetBytes;
    const start = from - (from % blockSizeBytes);
    const end = Math.ceil((from + lengthBytes) / blockSizeBytes) * blockSizeBytes;
    if (end > sizeBytes) return damaged({ reason: "outside-device", found: from + lengthBytes });
    const blocks = new Uint8Array(end - start);
    try {
      await this.#device.read(start, blocks, options);
    } catch (error) {
      if (!(error instanceof BlockError) || error.code !== "medium") throw error;
      return damaged({ reason: "unreadable", found: from });
    }
    return { ok: true, value: blocks.subarray(from - start, from - start + lengthBytes) };
  }
}

function damaged(damage: FatDamage): { readonly ok: false; readonly damage: FatDamage } {
  return { ok: false, damage };
}
