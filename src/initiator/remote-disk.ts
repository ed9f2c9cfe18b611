/**
 * A namespace of a controller as a BlockDevice: calls of any length are split into commands that
 * the controller takes, some of them under way at a time.
 *
 * It survives reconnects where its controller does: calls wait and are sent again, after a look at
 * whether the namespace is still the same one.
 */

import { type BlockDevice, BlockError, type CallOptions } from "../block/index.ts";
import type { Command, Completion } from "../nvme/index.ts";
import { ioTimeoutMs } from "./channel.ts";
import { type DiskAbilities, DiskCommands, type DiskLimits, readsZeros } from "./disk-commands.ts";
import { blockError } from "./disk-error.ts";
import { Durability } from "./durability.ts";
import { InitiatorError } from "./error.ts";
import { IoCall, type IoCallOptions, type IoPath } from "./io-call.ts";
import type { NamespaceInfo } from "./namespace.ts";
import { splitRange } from "./split.ts";
import { type Transfer, transferBytes } from "./transfer.ts";

/** How a write is done. */
export interface WriteOptions extends CallOptions {
  /** It resolves once the data is on the medium (Force Unit Access), without a flush. */
  readonly isDurable?: boolean;
}

/** What becomes of the contents of a deallocated range. */
export interface DeallocateOptions extends CallOptions {
  /**
   * `zeros-or-kept`, unless given: it is not deallocated at all where the controller does not
   * promise zeros. With `any` it may read as anything until it is written again.
   */
  readonly contents?: "zeros-or-kept" | "any";
}

/** A BlockDevice over NVMe/TCP. */
export class RemoteDisk implements BlockDevice {
  readonly blockSizeBytes: number;
  #info: NamespaceInfo;
  #limits: DiskLimits;
  #commands: DiskCommands;
  readonly #path: IoPath;
  readonly #durability: Durability;
  readonly #onDisposed: (disk: RemoteDisk) => void;
  /** Why it cannot be used: for now, or for ever where another one is in its place. */
  #fault: InitiatorError | undefined;
  readonly #plain: IoCallOptions;
  #isClosed = false;
  #underWay = 0;
  #idle: PromiseWithResolvers<void> | undefined;
  #zeros = new Uint8Array(0);

  /** Use `Controller.openNamespace`. */
  constructor(
    info: NamespaceInfo,
    limits: DiskLimits,
    path: IoPath,
    onDisposed: (disk: RemoteDisk) => void,
  ) {
    this.#info = info;
    this.#limits = limits;
    this.#path = path;
    this.#onDisposed = onDisposed;
    this.#durability = new Durability(path.epoch);
    this.#commands = new DiskCommands(info, limits);
    this.blockSizeBytes = info.blockSizeBytes;
    const refusal = (transfer: Transfer) => this.#fault ?? this.#lengthFault(transfer);
    this.#plain = { timeoutMs: ioTimeoutMs, isIdempotent: true, refusal };
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

  /** What the controller can do for this disk beside reading and writing. */
  get abilities(): DiskAbilities {
    return this.#limits.abilities;
  }

  /** Why it cannot be used now, or `undefined`; `namespace-replaced` stays. */
  get fault(): InitiatorError | undefined {
    return this.#fault;
  }

  /** Takes what the controller says of the namespace now; for the controller's use. */
  update(info: NamespaceInfo, limits: DiskLimits): void {
    this.#info = info;
    this.#limits = limits;
    this.#commands = new DiskCommands(info, limits);
    if (this.#fault?.code !== "namespace-replaced") this.#fault = undefined;
  }

  /** The namespace is not there, or not the same; for the controller's use. */
  exclude(fault: InitiatorError): void {
    if (this.#fault?.code !== "namespace-replaced") this.#fault = fault;
  }

  /** It goes on over another connection; for the controller's use. */
  reconnected(epoch: number): void {
    if (this.#limits.hasVolatileCache) this.#durability.reconnected(epoch);
  }

  /**
   * Fills `target`, into which the socket receives. Once an abort has rejected the call, `target` is
   * left alone: in the midst of its data that is when more comes, or after a second.
   */
  read(offsetBytes: number, target: Uint8Array, options: CallOptions = {}): Promise<void> {
    const { length: lengthBytes } = target;
    const range = { offsetBytes, lengthBytes, pieceBytes: this.#limits.ioBytesMax };
    return this.#call("read", range, options, (at, length) => {
      const from = at - offsetBytes;
      const piece = length === lengthBytes ? target : target.subarray(from, from + length);
      return this.#io(this.#commands.read(at, length), { kind: "in", target: piece }, options);
    });
  }

  /**
   * Writes `data`, which is handed to the socket as it is. An abort rejects the call when what was
   * handed over has left, so that the buffer is the caller's again; what then lies in the range
   * on the medium, the old or the new blocks, is not known.
   */
  write(offsetBytes: number, data: Uint8Array, options: WriteOptions = {}): Promise<void> {
    const { length: lengthBytes } = data;
    const range = { offsetBytes, lengthBytes, pieceBytes: this.#limits.ioBytesMax };
    return this.#call("write", range, options, (at, length) => {
      const from = at - offsetBytes;
      const piece = length === lengthBytes ? data : data.subarray(from, from + length);
      return this.#writePiece(at, length, piece, options);
    });
  }

  /** Makes a range read as zeros, and frees its blocks where the controller can do both. */
  writeZeroes(offsetBytes: number, lengthBytes: number, options: WriteOptions = {}): Promise<void> {
    const { abilities, ioBytesMax } = this.#limits;
    const { writeZeroes: isAble } = abilities;
    const pieceBytes = isAble ? this.#commands.zeroesBytesMax : ioBytesMax;
    const range = { offsetBytes, lengthBytes, pieceBytes };
    return this.#call("write zeroes", range, options, (at, length) => {
      if (isAble) return this.#zeroPiece(at, length, options);
      return this.#writeZeros(at, length, options);
    });
  }

  /** Says that a range's contents are not needed; see `DeallocateOptions`. */
  deallocate(
    offsetBytes: number,
    lengthBytes: number,
    options: DeallocateOptions = {},
  ): Promise<void> {
    const range = { offsetBytes, lengthBytes, pieceBytes: this.#commands.deallocateBytesMax };
    const isPromised = readsZeros(this.#info.identify.dlfeat) || options.contents === "any";
    const isSent = this.#limits.abilities.deallocate && isPromised;
    return this.#call("deallocate", range, options, (at, length) => {
      if (!isSent) return Promise.resolve();
      const { command, data } = this.#commands.deallocate(at, length);
      return this.#io(command, { kind: "out", data }, options).then(({ epoch }) =>
        this.#acknowledged(at, length, epoch),
      );
    });
  }

  /**
   * True if the range holds `data`. The controller compares where it can; else the range is read.
   */
  async compare(
    offsetBytes: number,
    data: Uint8Array,
    options: CallOptions = {},
  ): Promise<boolean> {
    const { abilities, ioBytesMax } = this.#limits;
    const range = { offsetBytes, lengthBytes: data.length, pieceBytes: ioBytesMax };
    let isEqual = true;
    await this.#call("compare", range, options, async (at, length) => {
      if (!isEqual) return;
      const piece = data.subarray(at - offsetBytes, at - offsetBytes + length);
      const isSame = abilities.compare
        ? await this.#comparePiece(at, piece, options)
        : await this.#readsAs(at, piece, options);
      isEqual &&= isSame;
    });
    return isEqual;
  }

  /**
   * Lets the controller check that a range can be read, without moving the data.
   * @throws BlockError `medium`; InitiatorError `unsupported` where it has no Verify command.
   */
  verify(offsetBytes: number, lengthBytes: number, options: CallOptions = {}): Promise<void> {
    if (!this.#limits.abilities.verify) {
      const { peer } = this.#path;
      const message = `Cannot verify a range: the controller at ${peer} has no Verify. Read it.`;
      return Promise.reject(new InitiatorError("unsupported", message, { peer }));
    }
    const range = { offsetBytes, lengthBytes, pieceBytes: this.#commands.verifyBytesMax };
    return this.#call("verify", range, options, (at, length) =>
      this.#io(this.#commands.verify(at, length), none, options),
    );
  }

  /**
   * Resolves once every write that settled before is on the medium.
   *
   * After a reconnect, one flush rejects with a BlockError `medium` whose cause is the
   * InitiatorError `volatile-writes-lost-possible`, if writes were acknowledged before the
   * connection was lost and not flushed: a target that restarted may have lost them. `facts.ranges`
   * (ByteRange[]) says which; write those again, and flush again.
   */
  flush(options: CallOptions = {}): Promise<void> {
    return this.#call("flush", undefined, options, async () => {
      if (!this.#limits.hasVolatileCache) return;
      const record = this.#durability.begin();
      try {
        await this.#io(this.#commands.flush, none, options);
      } catch (error) {
        this.#durability.fail(record);
        throw error;
      }
      const ranges = this.#durability.succeed(record);
      if (ranges.length > 0) throw this.#lossError(ranges);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    if (this.#underWay > 0) {
      this.#idle ??= Promise.withResolvers();
      await this.#idle.promise;
    }
    this.#onDisposed(this);
  }

  #writePiece(
    at: number,
    length: number,
    data: Uint8Array,
    options: WriteOptions,
  ): Promise<unknown> {
    if (data.length !== length) {
      // Else the rest of the range would stay as it is, and nobody would be told.
      return Promise.reject(new TypeError(`A write of ${length} bytes has as many of data.`));
    }
    const isDurable = options.isDurable ?? false;
    const write = this.#commands.write(at, length, isDurable);
    const done = this.#io(write, { kind: "out", data }, options);
    if (isDurable) return done;
    return done.then(({ epoch }) => this.#acknowledged(at, length, epoch));
  }

  async #zeroPiece(at: number, length: number, options: WriteOptions): Promise<void> {
    const isDurable = options.isDurable ?? false;
    const zero = this.#commands.writeZeroes(at, length, isDurable);
    try {
      const { epoch } = await this.#io(zero, none, options);
      if (!isDurable) this.#acknowledged(at, length, epoch);
    } catch (error) {
      const isKnown = error instanceof InitiatorError;
      if (!isKnown || error.facts.statusName !== "invalidOpcode") throw error;
      // The Linux target says that it has the command, whether what lies below has it or not.
      const { ioBytesMax, abilities } = this.#limits;
      this.#limits = { ...this.#limits, abilities: { ...abilities, writeZeroes: false } };
      await splitRange(at, length, ioBytesMax, (from, bytes) =>
        this.#writeZeros(from, bytes, options),
      );
    }
  }

  /** @param length At most that of one command, whose limit a reconnect may have changed. */
  #writeZeros(at: number, length: number, options: WriteOptions): Promise<unknown> {
    if (this.#zeros.length < length) this.#zeros = new Uint8Array(length);
    return this.#writePiece(at, length, this.#zeros.subarray(0, length), options);
  }

  #acknowledged(at: number, length: number, epoch: number): void {
    if (!this.#limits.hasVolatileCache) return;
    this.#durability.acknowledged(at, at + length, epoch);
  }

  async #comparePiece(at: number, data: Uint8Array, options: CallOptions): Promise<boolean> {
    try {
      await this.#io(this.#commands.compare(at, data.length), { kind: "out", data }, options);
      return true;
    } catch (error) {
      const isKnown = error instanceof InitiatorError;
      if (isKnown && error.facts.statusName === "compareFailure") return false;
      throw error;
    }
  }

  async #readsAs(at: number, data: Uint8Array, options: CallOptions): Promise<boolean> {
    const target = new Uint8Array(data.length);
    await this.#io(this.#commands.read(at, data.length), { kind: "in", target }, options);
    return Buffer.compare(target, data) === 0;
  }

  #io(io: Command, transfer: Transfer, { signal }: CallOptions): Promise<IoResult> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<IoResult>();
    const done = (completion: Completion, epoch: number) => resolve({ completion, epoch });
    const call = new IoCall(this.#path, io, transfer, this.#plain, done, reject);
    call.resubmit();
    return signal ? call.abortable(promise, signal) : promise;
  }

  /** Checks a call's range, counts it among those under way, and gives its errors their codes. */
  #call(
    doing: string,
    range: CallRange | undefined,
    options: CallOptions,
    run: (atBytes: number, lengthBytes: number) => Promise<unknown>,
  ): Promise<void> {
    const { offsetBytes, lengthBytes, pieceBytes } = range ?? noRange;
    const error = this.#refusal(doing, offsetBytes, lengthBytes);
    if (error) return Promise.reject(error);
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    this.#underWay += 1;
    const settled = () => this.#settled();
    const failed = (cause: unknown): Promise<void> => {
      if (cause instanceof LengthError) {
        const shorter = Math.min(pieceBytes, this.#limits.ioBytesMax);
        return splitRange(offsetBytes, lengthBytes, shorter, run).then(settled, failed);
      }
      this.#settled();
      throw blockError(`${doing} at ${offsetBytes} of namespace ${this.#info.nsid}`, cause);
    };
    const work = range ? splitRange(offsetBytes, lengthBytes, pieceBytes, run) : run(0, 0);
    return work.then(settled, failed);
  }

  /** Why data is not sent again: a controller that came back may take less at a time than before. */
  #lengthFault(transfer: Transfer): LengthError | undefined {
    const { ioBytesMax } = this.#limits;
    if (transferBytes(transfer) <= ioBytesMax) return undefined;
    const message = `The controller takes ${ioBytesMax} bytes at a time now, fewer than before.`;
    return new LengthError("unsupported", message, { peer: this.#path.peer, ioBytesMax });
  }

  #settled(): void {
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#idle?.resolve();
  }

  #refusal(doing: string, offsetBytes: number, lengthBytes: number): BlockError | undefined {
    const { blockSizeBytes, sizeBytes } = this;
    const isAligned = offsetBytes % blockSizeBytes === 0 && lengthBytes % blockSizeBytes === 0;
    const isInside = offsetBytes >= 0 && lengthBytes >= 0 && offsetBytes + lengthBytes <= sizeBytes;
    const isAllowed = !this.readOnly || reading.has(doing);
    if (isAligned && isInside && isAllowed && !this.#isClosed) return undefined;
    const what = `Cannot ${doing} ${lengthBytes} bytes at ${offsetBytes} of a namespace`;
    if (this.#isClosed) return new BlockError("closed", `${what}: it was closed here.`);
    if (!isAligned || !(offsetBytes >= 0) || !(lengthBytes >= 0)) {
      return new BlockError("range", `${what}: both must be multiples of ${blockSizeBytes}.`);
    }
    if (!isInside) return new BlockError("range", `${what}: it has ${sizeBytes} bytes.`);
    return new BlockError("read-only", `${what}: it is write protected.`);
  }

  #lossError(ranges: readonly unknown[]): InitiatorError {
    const { peer } = this.#path;
    const what = `The connection to ${peer} was lost and is back`;
    const message =
      `${what}: ${ranges.length} written ranges were not flushed before and may be lost. ` +
      "Write them again, and flush again.";
    const { nsid } = this.#info;
    return new InitiatorError("volatile-writes-lost-possible", message, { peer, nsid, ranges });
  }
}

/** Commands of a call are longer than the controller takes by now: it is to be split anew. */
class LengthError extends InitiatorError {}

/** The range of a call, and how it is split. */
interface CallRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly pieceBytes: number;
}

const noRange: CallRange = { offsetBytes: 0, lengthBytes: 0, pieceBytes: 0 };

interface IoResult {
  readonly completion: Completion;
  readonly epoch: number;
}

const none: Transfer = { kind: "none" };
/** Calls that a write protected disk takes. */
const reading: ReadonlySet<string> = new Set(["read", "compare", "verify", "flush"]);
