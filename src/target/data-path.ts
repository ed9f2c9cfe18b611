/**
 * Reads and writes of one I/O connection: the path where every microsecond counts.
 *
 *   read   ──medium quick──► straight into the outbox ───────────────────────────► done
 *             └─else──► asked for ──► in a buffer ──(socket has room)──► outbox ─┘
 *   write  ──data whole──► medium quick: written at once ──► done
 *                             └─else──► copied, written ──► done
 *
 * What has to wait for the socket or for memory waits in order. No promise and no buffer is made
 * for what can be done at once.
 */

import { statusBits } from "./answer.ts";
import type { Namespace } from "./namespace.ts";
import { dataPduBytesMax, type Outbox } from "./outbox.ts";
import { type BufferPool, type ByteBudget, sizeFor, sizeOf } from "./pool.ts";
import type { Statistics } from "./statistics.ts";

/** A command that is not answered yet. */
export interface Pending {
  readonly cid: number;
  readonly nsid: number;
  /** Ends it if that can be done at once; it is then answered by who asked. */
  abort(): boolean;
}

/** What the data path needs of its connection. */
export interface DataPathHost {
  readonly outbox: Outbox;
  readonly pool: BufferPool;
  readonly budget: ByteBudget;
  /** Bytes that this connection may hold. */
  readonly bytesMax: number;
  /** Whether C2HData may end a read by itself (SUCCESS). */
  readonly usesSuccess: boolean;
  /** Counts of the host. */
  readonly statistics: Statistics;
  /** Whether the socket has enough to do. */
  isCongested(): boolean;
  nowMs(): number;
  track(pending: Pending): void;
  /** Answers a command; of a read that ended by SUCCESS, only forgets it. */
  finish(cid: number, status: number, nsid: number, opc: number, isSaid: boolean): void;
  /** Goes on with what waits, and hands what is put together to the socket. */
  flush(): void;
  /** A call on a device is under way until `work` settles. */
  watch(work: Promise<unknown>): void;
}

/** A read on its way. */
class ReadJob implements Pending {
  readonly cid: number;
  readonly nsid: number;
  readonly namespace: Namespace;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly startMs: number;
  doneBytes = 0;
  /** What was read, once it is here. */
  buffer: Uint8Array | undefined;
  controller: AbortController | undefined;
  isAborted = false;

  constructor(
    cid: number,
    namespace: Namespace,
    offsetBytes: number,
    lengthBytes: number,
    startMs: number,
  ) {
    this.cid = cid;
    this.nsid = namespace.nsid;
    this.namespace = namespace;
    this.offsetBytes = offsetBytes;
    this.lengthBytes = lengthBytes;
    this.startMs = startMs;
  }

  abort(): boolean {
    // Data that is partly with the host is better brought to its end.
    if (this.doneBytes > 0 || this.isAborted) return false;
    this.isAborted = true;
    this.controller?.abort();
    return true;
  }
}

/** A write whose data is whole. */
export interface WriteJob {
  readonly cid: number;
  readonly namespace: Namespace;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** The write is to be on the medium when it is answered. */
  readonly isDurable: boolean;
  readonly startMs: number;
}

const readOpcode = 0x02;
const writeOpcode = 0x01;

/** Reads and writes of one connection. */
export class DataPath {
  readonly #host: DataPathHost;
  /** Reads that wait to begin or to go on, in order. */
  readonly #parked: ReadJob[] = [];
  /** Reads whose data waits for the socket; they go first, since they hold memory. */
  readonly #loaded: ReadJob[] = [];
  #heldBytes = 0;
  #isEnded = false;
  #isPumping = false;
  readonly #wake = () => this.#host.flush();

  constructor(host: DataPathHost) {
    this.#host = host;
  }

  /** Bytes of buffers that this connection holds. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Reads for a command whose range was checked. */
  read(cid: number, namespace: Namespace, offsetBytes: number, lengthBytes: number): void {
    const host = this.#host;
    const nowMs = host.nowMs();
    host.outbox.makeRoom(lengthBytes);
    if (
      this.#parked.length === 0 &&
      lengthBytes <= dataPduBytesMax &&
      namespace.device.readNow &&
      namespace.readPace.isQuick(nowMs) &&
      !host.isCongested()
    ) {
      this.#readNow(cid, namespace, offsetBytes, lengthBytes, nowMs);
      return;
    }
    const job = new ReadJob(cid, namespace, offsetBytes, lengthBytes, nowMs);
    host.track(job);
    if (this.#parked.length > 0 || !this.#advance(job)) this.#parked.push(job);
  }

  /** Goes on with what waits for the socket or for memory; `flush` of the host does it. */
  pump(): void {
    // Memory that is given back in here wakes who waits for it, this connection among them.
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (const line of [this.#loaded, this.#parked]) {
      while (line.length > 0 && !this.#isEnded) {
        if (!this.#advance(line[0]!)) break;
        line.shift();
      }
    }
    this.#isPumping = false;
  }

  /** Makes room for data that is to come; false when the connection has to wait. */
  reserve(bytes: number, wake: () => void): boolean {
    const size = sizeFor(bytes);
    const isFull = this.#heldBytes > 0 && this.#heldBytes + size > this.#host.bytesMax;
    if (isFull) return false;
    if (!this.#host.budget.tryTake(size, wake)) return false;
    this.#heldBytes += size;
    return true;
  }

  /** Gives room back that no buffer was taken for. */
  release(bytes: number): void {
    this.#giveRoom(sizeFor(bytes));
  }

  /** The buffer for data that was given room; `giveBuffer` takes back both. */
  reservedBuffer(bytes: number): Uint8Array {
    return this.#host.pool.take(bytes);
  }

  /** Takes memory for data that is here already, whatever the limits say. */
  forceBuffer(bytes: number): Uint8Array {
    const size = sizeFor(bytes);
    this.#host.budget.force(size);
    this.#heldBytes += size;
    return this.#host.pool.take(bytes);
  }

  /** Gives a buffer back, and its room. */
  giveBuffer(buffer: Uint8Array): void {
    this.#host.pool.give(buffer);
    this.#giveRoom(sizeOf(buffer));
  }

  /**
   * Writes data: `lengthBytes` of `bytes` from `at` on. `owned` is a buffer that
   * holds them and is given back; without it they are copied if they must outlive the call.
   */
  write(job: WriteJob, bytes: Uint8Array, at: number, owned: Uint8Array | undefined): void {
    const { namespace, offsetBytes, lengthBytes } = job;
    const { device, gate, writePace } = namespace;
    const startMs = this.#host.nowMs();
    if (!job.isDurable && device.writeNow && gate.isFree && writePace.isQuick(startMs)) {
      let status = 0;
      try {
        device.writeNow(offsetBytes, bytes, at, lengthBytes);
      } catch (error) {
        status = statusBits(namespace.statusOf(error, "write"));
      }
      const nowMs = this.#host.nowMs();
      writePace.note(lengthBytes, nowMs - startMs, nowMs);
      if (owned) this.giveBuffer(owned);
      this.#finishWrite(job, status, nowMs);
      return;
    }
    let buffer = owned;
    if (!buffer) {
      buffer = this.forceBuffer(lengthBytes);
      buffer.set(bytes.subarray(at, at + lengthBytes));
    }
    this.#host.watch(this.#writeLater(job, buffer));
  }

  /** The connection is gone: nothing goes on. */
  end(wake: () => void): void {
    this.#isEnded = true;
    this.#host.budget.leave(this.#wake);
    this.#host.budget.leave(wake);
    for (const { buffer } of this.#loaded) if (buffer) this.giveBuffer(buffer);
    this.#loaded.length = 0;
    this.#parked.length = 0;
  }

  #giveRoom(size: number): void {
    this.#heldBytes -= size;
    this.#host.budget.give(size);
  }

  #readNow(
    cid: number,
    namespace: Namespace,
    offsetBytes: number,
    lengthBytes: number,
    startMs: number,
  ): void {
    const host = this.#host;
    const { outbox, usesSuccess } = host;
    const place = outbox.openData(cid, 0, lengthBytes, true, usesSuccess);
    let status = 0;
    try {
      namespace.device.readNow!(offsetBytes, place.bytes, place.at, lengthBytes);
      outbox.closeData();
    } catch (error) {
      outbox.dropData();
      status = statusBits(namespace.statusOf(error, "read"));
    }
    const nowMs = host.nowMs();
    namespace.readPace.note(lengthBytes, nowMs - startMs, nowMs);
    this.#countRead(namespace, lengthBytes, status, nowMs - startMs);
    host.finish(cid, status, namespace.nsid, readOpcode, usesSuccess && status === 0);
  }

  /** Brings a read as far as it comes; false when it has to wait at the head of the line. */
  #advance(job: ReadJob): boolean {
    const { namespace } = job;
    if (job.isAborted) {
      if (job.buffer) this.giveBuffer(job.buffer);
      return true;
    }
    if (job.buffer) return this.#send(job, job.buffer);
    if (namespace.device.readNow && namespace.readPace.isQuick(this.#host.nowMs())) {
      return this.#readPieces(job);
    }
    return this.#readAside(job);
  }

  /** Reads by a promise: all of it, though the first pieces may be with the host already. */
  #readAside(job: ReadJob): boolean {
    if (!this.reserve(job.lengthBytes, this.#wake)) return false;
    this.#host.watch(this.#readLater(job, this.reservedBuffer(job.lengthBytes)));
    return true;
  }

  #readPieces(job: ReadJob): boolean {
    const { namespace, lengthBytes } = job;
    const { outbox, usesSuccess } = this.#host;
    while (job.doneBytes < lengthBytes) {
      const length = Math.min(dataPduBytesMax, lengthBytes - job.doneBytes);
      outbox.makeRoom(length);
      if (this.#host.isCongested()) return false;
      const isLast = job.doneBytes + length === lengthBytes;
      const startMs = this.#host.nowMs();
      // The piece before has shown what the medium is like today.
      if (!namespace.readPace.isQuick(startMs)) return this.#readAside(job);
      const place = outbox.openData(job.cid, job.doneBytes, length, isLast, isLast && usesSuccess);
      let status = 0;
      try {
        namespace.device.readNow!(job.offsetBytes + job.doneBytes, place.bytes, place.at, length);
        outbox.closeData();
      } catch (error) {
        outbox.dropData();
        status = statusBits(namespace.statusOf(error, "read"));
      }
      const nowMs = this.#host.nowMs();
      namespace.readPace.note(length, nowMs - startMs, nowMs);
      if (status !== 0) {
        this.#finishRead(job, status);
        return true;
      }
      job.doneBytes += length;
    }
    this.#finishRead(job, 0);
    return true;
  }

  async #readLater(job: ReadJob, buffer: Uint8Array): Promise<void> {
    const { namespace, lengthBytes } = job;
    job.controller = new AbortController();
    const { signal } = job.controller;
    let status = 0;
    try {
      await namespace.device.read(job.offsetBytes, buffer.subarray(0, lengthBytes), { signal });
    } catch (error) {
      status = statusBits(namespace.statusOf(error, "read"));
    }
    if (this.#isEnded || job.isAborted || status !== 0) {
      this.giveBuffer(buffer);
      if (!this.#isEnded && !job.isAborted) this.#finishRead(job, status);
    } else {
      job.buffer = buffer;
      if (this.#loaded.length > 0 || !this.#send(job, buffer)) this.#loaded.push(job);
    }
    this.#host.flush();
  }

  #send(job: ReadJob, buffer: Uint8Array): boolean {
    const { lengthBytes } = job;
    const { outbox, usesSuccess } = this.#host;
    while (job.doneBytes < lengthBytes) {
      const length = Math.min(dataPduBytesMax, lengthBytes - job.doneBytes);
      outbox.makeRoom(length);
      if (this.#host.isCongested()) return false;
      const isLast = job.doneBytes + length === lengthBytes;
      const place = outbox.openData(job.cid, job.doneBytes, length, isLast, isLast && usesSuccess);
      place.bytes.set(buffer.subarray(job.doneBytes, job.doneBytes + length), place.at);
      outbox.closeData();
      job.doneBytes += length;
    }
    this.giveBuffer(buffer);
    this.#finishRead(job, 0);
    return true;
  }

  #finishRead(job: ReadJob, status: number): void {
    const tookMs = this.#host.nowMs() - job.startMs;
    this.#countRead(job.namespace, job.lengthBytes, status, tookMs);
    const isSaid = this.#host.usesSuccess && status === 0;
    this.#host.finish(job.cid, status, job.nsid, readOpcode, isSaid);
  }

  #countRead(namespace: Namespace, bytes: number, status: number, tookMs: number): void {
    if (status === 0) {
      namespace.statistics.read.add(bytes, tookMs);
      this.#host.statistics.read.add(bytes, tookMs);
    } else {
      namespace.statistics.read.failures++;
      this.#host.statistics.read.failures++;
    }
  }

  async #writeLater(job: WriteJob, buffer: Uint8Array): Promise<void> {
    const { namespace, offsetBytes, lengthBytes } = job;
    const { device, gate } = namespace;
    const controller = new AbortController();
    const { signal } = controller;
    this.#host.track({
      cid: job.cid,
      nsid: namespace.nsid,
      // What the medium has begun it tells the end of.
      abort: () => {
        controller.abort();
        return false;
      },
    });
    let status = 0;
    try {
      const data = buffer.subarray(0, lengthBytes);
      await gate.shared(() => device.write(offsetBytes, data, { signal }));
      if (job.isDurable) await device.flush();
    } catch (error) {
      status = statusBits(namespace.statusOf(error, "write"));
    }
    this.giveBuffer(buffer);
    if (this.#isEnded) return;
    this.#finishWrite(job, status, this.#host.nowMs());
    this.#host.flush();
  }

  #finishWrite(job: WriteJob, status: number, nowMs: number): void {
    const { namespace, lengthBytes } = job;
    if (status === 0) {
      namespace.statistics.write.add(lengthBytes, nowMs - job.startMs);
      this.#host.statistics.write.add(lengthBytes, nowMs - job.startMs);
    } else {
      namespace.statistics.write.failures++;
      this.#host.statistics.write.failures++;
    }
    this.#host.finish(job.cid, status, namespace.nsid, writeOpcode, false);
  }
}
