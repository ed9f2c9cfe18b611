/**
 * A namespace of a controller as a BlockDevice: calls of any length are split into commands that
 * the controller takes, some of them under way at a time.
 */

import { type BlockDevice, BlockError, type CallOptions } from "../block/index.ts";
import { type CommandOf, command, type StatusName } from "../nvme/index.ts";
import type { ExecuteOptions } from "./channel.ts";
import { InitiatorError } from "./error.ts";
import type { NamespaceInfo } from "./namespace.ts";
import type { InitiatorLog } from "./transport.ts";

/** What the controller allows and can do. */
export interface DiskLimits {
  /** Longest read or write in bytes; a multiple of the block size. */
  readonly ioBytesMax: number;
  readonly hasWriteZeroes: boolean;
  /** There is a volatile write cache, so that a flush does something. */
  readonly hasVolatileCache: boolean;
}

/** The commands that a disk is worked with. */
export type DiskCommand =
  | CommandOf<"read">
  | CommandOf<"write">
  | CommandOf<"writeZeroes">
  | CommandOf<"flush">;

/** Runs one I/O command on whichever queue has the least to do. */
export type RunIo = (command: DiskCommand, options: ExecuteOptions) => Promise<unknown>;

/** Commands of one call that are under way at a time. */
const commandsAtATime = 8;
/** NLB has 16 bits; and a piece should not take seconds on a slow medium. */
const writeZeroesBlocksMax = 65536;
const writeZeroesBytesMax = 32 * 1024 * 1024;
/** How often a command is repeated that failed for a reason that passes. */
const retriesMax = 3;

/** A BlockDevice over NVMe/TCP. */
export class RemoteDisk implements BlockDevice {
  readonly blockSizeBytes: number;
  #info: NamespaceInfo;
  readonly #limits: DiskLimits;
  readonly #run: RunIo;
  readonly #log: InitiatorLog;
  readonly #calls = new Set<Promise<void>>();
  readonly #onDisposed: (disk: RemoteDisk) => void;
  #isClosed = false;
  readonly #templates;
  #zeros: Uint8Array | undefined;

  constructor(
    info: NamespaceInfo,
    limits: DiskLimits,
    run: RunIo,
    log: InitiatorLog,
    onDisposed: (disk: RemoteDisk) => void,
  ) {
    this.#info = info;
    this.#limits = limits;
    this.#run = run;
    this.#log = log;
    this.#onDisposed = onDisposed;
    this.blockSizeBytes = info.blockSizeBytes;
    const { nsid } = info;
    this.#templates = {
      read: command("read", { nsid }),
      write: command("write", { nsid }),
      writeZeroes: zeroesTemplate(info),
      flush: command("flush", { nsid }),
    };
  }

  get sizeBytes(): number {
    return this.#info.sizeBytes;
  }

  get readOnly(): boolean {
    return this.#info.isReadOnly;
  }

  /** What the controller said of the namespace last. */
  get info(): NamespaceInfo {
    return this.#info;
  }

  /** Takes what the controller says of the namespace now, after it changed. */
  update(info: NamespaceInfo): void {
    this.#info = info;
  }

  read(offsetBytes: number, target: Uint8Array, options: CallOptions = {}): Promise<void> {
    return this.#call("read", offsetBytes, target.length, options, () =>
      this.#split(offsetBytes, target.length, this.#limits.ioBytesMax, (at, length) => {
        const piece = target.subarray(at - offsetBytes, at - offsetBytes + length);
        const transfer = { kind: "in", target: piece } as const;
        return this.#io(
          { ...this.#templates.read, ...this.#blocks(at, length) },
          transfer,
          options,
        );
      }),
    );
  }

  write(offsetBytes: number, data: Uint8Array, options: CallOptions = {}): Promise<void> {
    return this.#call("write", offsetBytes, data.length, options, () =>
      this.#split(offsetBytes, data.length, this.#limits.ioBytesMax, (at, length) => {
        const piece = data.subarray(at - offsetBytes, at - offsetBytes + length);
        return this.#writePiece(at, piece, options);
      }),
    );
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, options: CallOptions = {}): Promise<void> {
    const { hasWriteZeroes, ioBytesMax } = this.#limits;
    return this.#call("write zeroes", offsetBytes, lengthBytes, options, () => {
      if (!hasWriteZeroes) {
        this.#zeros ??= new Uint8Array(ioBytesMax);
        const zeros = this.#zeros;
        return this.#split(offsetBytes, lengthBytes, ioBytesMax, (at, length) =>
          this.#writePiece(at, zeros.subarray(0, length), options),
        );
      }
      const longest = Math.min(writeZeroesBlocksMax * this.blockSizeBytes, writeZeroesBytesMax);
      return this.#split(offsetBytes, lengthBytes, longest, (at, length) => {
        const zeroes = { ...this.#templates.writeZeroes, ...this.#blocks(at, length) };
        return this.#io(zeroes, { kind: "none" }, options);
      });
    });
  }

  flush(options: CallOptions = {}): Promise<void> {
    return this.#call("flush", 0, 0, options, async () => {
      if (!this.#limits.hasVolatileCache) return;
      await this.#io(this.#templates.flush, { kind: "none" }, options);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#calls);
    this.#onDisposed(this);
  }

  #writePiece(at: number, data: Uint8Array, options: CallOptions): Promise<void> {
    const write = { ...this.#templates.write, ...this.#blocks(at, data.length) };
    return this.#io(write, { kind: "out", data }, options);
  }

  #blocks(atBytes: number, lengthBytes: number): { slba: bigint; nlb: number } {
    const { blockSizeBytes } = this;
    return { slba: BigInt(atBytes / blockSizeBytes), nlb: lengthBytes / blockSizeBytes };
  }

  /** Checks a call's range, counts it among those under way, and gives its errors their codes. */
  async #call(
    doing: string,
    offsetBytes: number,
    lengthBytes: number,
    options: CallOptions,
    work: () => Promise<void>,
  ): Promise<void> {
    const error = this.#refusal(doing, offsetBytes, lengthBytes);
    if (error) throw error;
    options.signal?.throwIfAborted();
    const call = work();
    this.#calls.add(call);
    try {
      await call;
    } catch (cause) {
      throw blockError(`${doing} at ${offsetBytes} of namespace ${this.#info.nsid}`, cause);
    } finally {
      this.#calls.delete(call);
    }
  }

  #refusal(doing: string, offsetBytes: number, lengthBytes: number): BlockError | undefined {
    const { blockSizeBytes, sizeBytes } = this;
    const what = `Cannot ${doing} ${lengthBytes} bytes at ${offsetBytes} of a namespace`;
    if (this.#isClosed) return new BlockError("closed", `${what}: it was closed here.`);
    const isAligned = offsetBytes % blockSizeBytes === 0 && lengthBytes % blockSizeBytes === 0;
    if (!isAligned || !(offsetBytes >= 0) || !(lengthBytes >= 0)) {
      return new BlockError("range", `${what}: both must be multiples of ${blockSizeBytes}.`);
    }
    if (offsetBytes + lengthBytes > sizeBytes) {
      return new BlockError("range", `${what}: it has ${sizeBytes} bytes.`);
    }
    if (doing.startsWith("write") && this.readOnly) {
      return new BlockError("read-only", `${what}: it is write protected.`);
    }
    return undefined;
  }

  /** Runs pieces of at most `pieceBytes`, some at a time; on a failure the begun ones settle. */
  async #split(
    offsetBytes: number,
    lengthBytes: number,
    pieceBytes: number,
    run: (atBytes: number, lengthBytes: number) => Promise<void>,
  ): Promise<void> {
    const endBytes = offsetBytes + lengthBytes;
    if (lengthBytes > 0 && lengthBytes <= pieceBytes) return run(offsetBytes, lengthBytes);
    let next = offsetBytes;
    let hasFailed = false;
    const worker = async () => {
      while (next < endBytes && !hasFailed) {
        const at = next;
        next = Math.min(at + pieceBytes, endBytes);
        try {
          await run(at, next - at);
        } catch (error) {
          hasFailed = true;
          throw error;
        }
      }
    };
    const results = await Promise.allSettled(Array.from({ length: commandsAtATime }, worker));
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }

  async #io(
    io: DiskCommand,
    transfer: NonNullable<ExecuteOptions["transfer"]>,
    options: CallOptions,
  ): Promise<void> {
    for (let retry = 0; ; retry++) {
      try {
        await this.#run(io, { ...options, transfer });
        return;
      } catch (error) {
        if (retry === retriesMax || !isPassing(error)) throw error;
        this.#log("command-retried", { command: io.name, nsid: io.nsid, retry: retry + 1 });
      }
    }
  }
}

/** Write Zeroes that also frees the blocks, where the namespace says that it then reads zeros. */
function zeroesTemplate({ nsid, identify }: NamespaceInfo): CommandOf<"writeZeroes"> {
  const template = command("writeZeroes", { nsid });
  const { writeZeroesDeallocate, readBehavior } = identify.dlfeat;
  const deac = writeZeroesDeallocate && readBehavior === 1;
  return { ...template, control: { ...template.control, deac } };
}

const passing: ReadonlySet<unknown> = new Set<StatusName>([
  "transientTransport",
  "commandInterrupted",
]);

function isPassing(error: unknown): boolean {
  if (!(error instanceof InitiatorError) || error.facts.status?.dnr !== false) return false;
  return passing.has(error.facts.statusName);
}

const blockCodes: Readonly<Partial<Record<string, BlockError["code"]>>> = {
  lbaOutOfRange: "range",
  capacityExceeded: "no-space",
  namespaceWriteProtected: "read-only",
  writeToReadOnly: "read-only",
  invalidNamespace: "gone",
  namespaceNotReady: "gone",
  anaPersistentLoss: "gone",
  anaInaccessible: "gone",
} satisfies Partial<Record<StatusName, BlockError["code"]>>;

/** An error of this part as one of a BlockDevice; an abort stays what it is. */
function blockError(doing: string, cause: unknown): unknown {
  if (!(cause instanceof InitiatorError)) return cause;
  const { code, facts, message } = cause;
  const block = code === "status" ? (blockCodes[facts.statusName ?? ""] ?? "medium") : "gone";
  return new BlockError(block, `Cannot ${doing}: ${message}`, { cause });
}
