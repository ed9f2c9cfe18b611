/** The commands that a disk is worked with, and how long one of each may be. */

import { type CommandOf, command, datasetRange } from "../nvme/index.ts";
import type { RangeLimits } from "./admin.ts";
import type { NamespaceInfo } from "./namespace.ts";

/** Longest read or write by the controller, in bytes, and what else it can do. */
export interface DiskLimits {
  /** A multiple of the block size. */
  readonly ioBytesMax: number;
  /** What it says of commands that move no data. */
  readonly ranges: RangeLimits;
  /** Commands that the controller has (ONCS). */
  readonly abilities: DiskAbilities;
  /** There is a volatile write cache, so that a flush does something. */
  readonly hasVolatileCache: boolean;
}

/** What the controller of a disk can do beside reading, writing and flushing. */
export interface DiskAbilities {
  readonly writeZeroes: boolean;
  readonly deallocate: boolean;
  readonly compare: boolean;
  readonly verify: boolean;
}

/** NLB has 16 bits; and a piece should not take seconds on a slow medium. */
const rangeBlocksMax = 65536;
const rangeBytesMax = 32 * 1024 * 1024;
/** One range of Dataset Management; NLB has 32 bits there, and no data moves. */
const deallocateBytesMax = 1024 * 1024 * 1024;

/** Makes the commands of one namespace; offsets and lengths are in bytes. */
export class DiskCommands {
  readonly flush: CommandOf<"flush">;
  readonly zeroesBytesMax: number;
  readonly verifyBytesMax: number;
  readonly deallocateBytesMax: number;
  readonly #blockSizeBytes: number;
  readonly #read: CommandOf<"read">;
  readonly #write: CommandOf<"write">;
  readonly #durableWrite: CommandOf<"write">;
  readonly #compare: CommandOf<"compare">;
  readonly #verify: CommandOf<"verify">;
  readonly #zeroes: CommandOf<"writeZeroes">;
  readonly #durableZeroes: CommandOf<"writeZeroes">;
  readonly #deallocate: CommandOf<"datasetManagement">;

  constructor(info: NamespaceInfo, { ranges }: Pick<DiskLimits, "ranges">) {
    const { nsid, blockSizeBytes, identify } = info;
    this.#blockSizeBytes = blockSizeBytes;
    const { zeroesBytesMax, verifyBytesMax, deallocateBlocksMax } = ranges;
    const ours = Math.min(rangeBlocksMax * blockSizeBytes, rangeBytesMax);
    const inBlocks = (bytesMax: number) =>
      Math.max(bytesMax - (bytesMax % blockSizeBytes), blockSizeBytes);
    this.zeroesBytesMax = inBlocks(Math.min(ours, zeroesBytesMax));
    this.verifyBytesMax = inBlocks(Math.min(ours, verifyBytesMax));
    this.deallocateBytesMax = Math.min(deallocateBytesMax, deallocateBlocksMax * blockSizeBytes);
    this.flush = command("flush", { nsid });
    this.#read = command("read", { nsid });
    this.#write = command("write", { nsid });
    const control = { ...this.#write.control, fua: true };
    this.#durableWrite = { ...this.#write, control };
    this.#compare = command("compare", { nsid });
    this.#verify = command("verify", { nsid });
    this.#zeroes = zeroesTemplate(nsid, identify.dlfeat);
    const zeroesControl = { ...this.#zeroes.control, fua: true };
    this.#durableZeroes = { ...this.#zeroes, control: zeroesControl };
    const attributes = { idr: false, idw: false, ad: true };
    this.#deallocate = command("datasetManagement", { nsid, nr: 1, attributes });
  }

  read(offsetBytes: number, lengthBytes: number): CommandOf<"read"> {
    return { ...this.#read, ...this.#blocks(offsetBytes, lengthBytes) };
  }

  /** @param isDurable Force Unit Access: acknowledged once it is on the medium. */
  write(offsetBytes: number, lengthBytes: number, isDurable: boolean): CommandOf<"write"> {
    const template = isDurable ? this.#durableWrite : this.#write;
    return { ...template, ...this.#blocks(offsetBytes, lengthBytes) };
  }

  /** @param isDurable As of `write`. */
  writeZeroes(
    offsetBytes: number,
    lengthBytes: number,
    isDurable: boolean,
  ): CommandOf<"writeZeroes"> {
    const template = isDurable ? this.#durableZeroes : this.#zeroes;
    return { ...template, ...this.#blocks(offsetBytes, lengthBytes) };
  }

  compare(offsetBytes: number, lengthBytes: number): CommandOf<"compare"> {
    return { ...this.#compare, ...this.#blocks(offsetBytes, lengthBytes) };
  }

  verify(offsetBytes: number, lengthBytes: number): CommandOf<"verify"> {
    return { ...this.#verify, ...this.#blocks(offsetBytes, lengthBytes) };
  }

  /** Dataset Management for one range, and the data that describes it. */
  deallocate(
    offsetBytes: number,
    lengthBytes: number,
  ): { readonly command: CommandOf<"datasetManagement">; readonly data: Uint8Array } {
    const data = datasetRange.encode({ cattr: 0, ...this.#blocks(offsetBytes, lengthBytes) });
    return { command: this.#deallocate, data };
  }

  #blocks(offsetBytes: number, lengthBytes: number): { slba: bigint; nlb: number } {
    const size = this.#blockSizeBytes;
    return { slba: BigInt(offsetBytes / size), nlb: lengthBytes / size };
  }
}

/** Write Zeroes that also frees the blocks, where the namespace says that it then reads zeros. */
function zeroesTemplate(
  nsid: number,
  dlfeat: NamespaceInfo["identify"]["dlfeat"],
): CommandOf<"writeZeroes"> {
  const template = command("writeZeroes", { nsid });
  const deac = dlfeat.writeZeroesDeallocate && readsZeros(dlfeat);
  return { ...template, control: { ...template.control, deac } };
}

/** True where deallocated blocks are promised to read as zeros. */
export function readsZeros(dlfeat: NamespaceInfo["identify"]["dlfeat"]): boolean {
  return dlfeat.readBehavior === 1;
}
