/**
 * Takes the commands of one connection and the data that belongs to them, and has them executed.
 *
 *   capsule ──plain read or write──► data path
 *      └──else──► decoded ──may it run now?──► its data ──► executed ──► answered
 *
 * The plain reads and writes are decoded by hand; `decodeCommand` of nvme is their oracle.
 */

import { commands, decodeCommand, fuse, offsetOf, type PduFault } from "../nvme/index.ts";
import { type Answer, type Call, failure, type statusBits } from "./answer.ts";
import { AnswerLine, type Decoded } from "./answer-line.ts";
import { type CommandContext, execute, held, refusalNow } from "./commands.ts";
import type { Attachment, TargetConnection } from "./connection.ts";
import type { WriteJob } from "./data-path.ts";
import { type FusedPair, FusedPairs } from "./fused.ts";
import { HostTransfer, TransferTags } from "./host-transfer.ts";
import { isReadOnlyFor } from "./identify.ts";
import { countCommand, hostDataBytes } from "./io-commands.ts";
import { decodePlainIo, emptyPlainIo, type PlainIo } from "./plain-io.ts";
import { sizeFor, sizeOf } from "./pool.ts";
import type { HostData } from "./receiver.ts";

/** What is to be done once data is whole. */
type Job =
  | { readonly kind: "write"; readonly write: WriteJob }
  | { readonly kind: "call"; readonly decoded: Decoded; readonly pair: FusedPair | undefined };

/** Where commands are at fault as a whole, and for what they say of their data. */
const atOpcode = offsetOf("read", "opc");
const atDataLength = offsetOf("read", "sglLength");
/** Messages of DH-HMAC-CHAP are shorter; who sends one has not proven anything yet. */
const messageBytesMax = 8192;

/** Data of a PDU that nobody wants. */
const nowhere = "nowhere";
const aborted = failure("abortRequested");
const nothing = new Uint8Array(0);

type Transfer = HostTransfer<Job>;

/** The commands of one connection. */
export class CommandIntake {
  readonly #connection: TargetConnection;
  readonly #tags = new TransferTags<Job>();
  readonly #plain: PlainIo = emptyPlainIo();
  #attachment: Attachment | undefined;
  #context: CommandContext | undefined;
  /** Transfers that wait for memory, in order. */
  readonly #waiting: Transfer[] = [];
  readonly #wake = () => this.#connection.flush();
  /** What the data at hand belongs to. */
  #current: Transfer | typeof nowhere | undefined;
  #currentStart = 0;
  #currentEnd = 0;
  /** In-capsule data that came whole lies here, without a copy. */
  #whole: Uint8Array | undefined;
  #wholeAt = 0;
  readonly #fused = new FusedPairs();
  readonly #answers: AnswerLine;
  #incomingBytes = 0;
  #fedBytes = 0;

  constructor(connection: TargetConnection) {
    this.#connection = connection;
    this.#answers = new AnswerLine(connection);
  }

  attach(attachment: Attachment): void {
    const connection = this.#connection;
    const { controller, qid, authentication } = attachment;
    const { services } = connection;
    this.#attachment = attachment;
    this.#context = {
      controller,
      qid,
      limits: services.limits,
      authentication,
      logs: {
        limits: services.limits,
        get uptimeMs() {
          return connection.nowMs() - services.startedMs;
        },
        discoveryLog: () => services.discoveryLog(connection, controller),
      },
      endAfterSending: (reason) => connection.endAfterSending(reason),
    };
  }

  /** An R2T is not answered yet. */
  get isExpectingData(): boolean {
    return this.#tags.size > 0;
  }

  /** Bytes held for data that has not all come: nothing but receiving sets them free. */
  get incomingBytes(): number {
    return this.#incomingBytes;
  }

  /** Data that has come by H2CData, in whole ones. */
  get fedBytes(): number {
    return this.#fedBytes;
  }

  /** The PDU at hand brings data of a command. */
  get isBeingFed(): boolean {
    return this.#current instanceof HostTransfer;
  }

  /** Takes a command of 64 bytes at `at`; `dataLength` bytes of data follow in its capsule. */
  command(cid: number, bytes: Uint8Array, at: number, dataLength: number): PduFault | undefined {
    const attachment = this.#attachment;
    const isIo = attachment !== undefined && attachment.qid > 0;
    if (isIo && decodePlainIo(bytes, at, this.#plain)) {
      // It is not fused, so it is not the second half of an open pair.
      this.#fused.break();
      this.#plainIo(cid, dataLength, attachment);
    } else this.#decoded(cid, bytes, at, dataLength);
    return undefined;
  }

  /** `dataLength` bytes follow that nobody wants. */
  discard(dataLength: number): void {
    if (dataLength > 0) this.#current = nowhere;
  }

  /**
   * The header of an H2CData. Only now a transfer gets its buffer: hosts send one after the other,
   * so that it is the one of the transfer before, which is in the processor's cache.
   */
  hostData(pdu: HostData): PduFault | undefined {
    const found = this.#tags.accept(pdu);
    if ("reason" in found) return found;
    found.buffer ??= this.#connection.data.reservedBuffer(found.lengthBytes);
    this.#current = found;
    this.#currentStart = pdu.datao;
    this.#currentEnd = pdu.datao + pdu.dataLength;
    return undefined;
  }

  /** Data of the command or H2CData at hand. */
  data(bytes: Uint8Array, from: number, to: number, offset: number): void {
    const transfer = this.#current;
    if (transfer === undefined || transfer === nowhere) return;
    if (!transfer.buffer) {
      const isWhole = offset === 0 && to - from === transfer.lengthBytes;
      if (transfer.ttag === undefined && isWhole && this.#connection.endsWithData) {
        this.#whole = bytes;
        this.#wholeAt = from;
        return;
      }
      transfer.buffer = this.#connection.data.forceBuffer(transfer.lengthBytes);
      this.#incomingBytes += sizeOf(transfer.buffer);
    }
    transfer.buffer.set(bytes.subarray(from, to), this.#currentStart + offset);
  }

  /** Where data of the PDU at hand belongs from `offset` on, with slack. */
  place(offset: number): Uint8Array | undefined {
    const transfer = this.#current;
    if (transfer === undefined || transfer === nowhere) return undefined;
    return transfer.buffer?.subarray(this.#currentStart + offset);
  }

  /** The data of the PDU at hand is complete. */
  end(digestMatches: boolean): PduFault | undefined {
    const transfer = this.#current;
    this.#current = undefined;
    if (transfer === undefined || transfer === nowhere) return undefined;
    if (!digestMatches) transfer.isDamaged = true;
    if (transfer.ttag === undefined) {
      const whole = this.#whole;
      this.#whole = undefined;
      this.#arrived(transfer, whole ?? transfer.buffer!, whole ? this.#wholeAt : 0);
      return undefined;
    }
    this.#continue(transfer);
    return undefined;
  }

  /** Asks for the data that waited for memory. */
  startWaiting(): void {
    while (this.#waiting.length > 0) {
      const transfer = this.#waiting[0]!;
      if (!transfer.isAborted && !this.#ask(transfer)) return;
      this.#waiting.shift();
    }
  }

  /** Executes the commands that waited for the host to take data. */
  answerWaiting(): void {
    for (let next = this.#answers.next(); next; next = this.#answers.next()) {
      const { command } = next;
      const { controller, authentication } = this.#attachment!;
      // The controller may have been reset meanwhile.
      const refused = refusalNow(command, controller, authentication);
      if (refused) this.#answer(next, refused, this.#connection.nowMs());
      else this.#run(next, nothing, undefined, undefined);
    }
  }

  /** The connection is gone. */
  close(): void {
    const { data } = this.#connection;
    this.#answers.close();
    for (const { buffer, lengthBytes } of this.#tags.clear()) {
      if (buffer) data.giveBuffer(buffer);
      else data.release(lengthBytes);
    }
    const current = this.#current;
    if (current instanceof HostTransfer && current.ttag === undefined && current.buffer) {
      data.giveBuffer(current.buffer);
    }
    this.#current = undefined;
    this.#waiting.length = 0;
    this.#fused.break();
    data.end(this.#wake);
  }

  /** A read or write that was decoded by hand. */
  #plainIo(cid: number, dataLength: number, attachment: Attachment): void {
    const connection = this.#connection;
    const { controller, authentication } = attachment;
    const { opc, nsid, slba, nlb, sglBytes, isInCapsule, isFua } = this.#plain;
    const isWrite = opc === commands.write.opc;
    const namespace = controller.subsystem.namespaces.get(nsid);
    let refused: Parameters<typeof statusBits>[0] | undefined;
    if (authentication && !authentication.isDone) refused = "authenticationRequired";
    else if (!controller.isReady) refused = "commandSequence";
    else if (!namespace) refused = "invalidNamespace";
    if (refused || !namespace) {
      this.#refusePlain(cid, refused ?? "invalidNamespace", nsid, opc, dataLength);
      return;
    }
    const lengthBytes = nlb * namespace.blockSizeBytes;
    const offsetBytes = slba * namespace.blockSizeBytes;
    const isHeld = namespace.reservations.isHeld;
    const { hostid } = controller.host;
    if (offsetBytes + lengthBytes > namespace.device.sizeBytes) refused = "lbaOutOfRange";
    else if (lengthBytes > connection.services.limits.transferBytesMax) refused = "invalidField";
    else if (sglBytes !== lengthBytes) refused = "sglInvalidData";
    else if (isInCapsule ? dataLength !== lengthBytes || !isWrite : dataLength > 0) {
      refused = "sglInvalidData";
    } else if (isHeld && !namespace.reservations.allows(hostid, isWrite ? "write" : "read")) {
      refused = "reservationConflict";
    } else if (isWrite && isReadOnlyFor(controller, namespace)) refused = "namespaceWriteProtected";
    if (refused) {
      this.#refusePlain(cid, refused, nsid, opc, dataLength, slba);
      return;
    }
    if (!isWrite) {
      connection.data.read(cid, namespace, offsetBytes, lengthBytes);
      return;
    }
    const write: WriteJob = {
      cid,
      namespace,
      offsetBytes,
      lengthBytes,
      isDurable: isFua || controller.isWriteThrough,
      startMs: connection.nowMs(),
    };
    this.#expect(
      new HostTransfer<Job>(cid, nsid, lengthBytes, { kind: "write", write }),
      isInCapsule,
    );
  }

  #refusePlain(
    cid: number,
    name: Parameters<typeof statusBits>[0],
    nsid: number,
    opc: number,
    dataLength: number,
    lba = 0,
  ): void {
    this.#connection.respond(cid, { ...failure(name), lba }, nsid, opc);
    this.discard(dataLength);
  }

  /** Any other command, by the tables. */
  #decoded(cid: number, bytes: Uint8Array, at: number, dataLength: number): void {
    const connection = this.#connection;
    const raw = bytes.subarray(at, at + 64);
    const decoded = decodeCommand(raw, connection.qid === 0 ? "admin" : "io");
    const attachment = this.#attachment;
    const isIo = attachment !== undefined && attachment.qid > 0;
    const pair = this.#fused.of(decoded, isIo ? attachment.controller : undefined);
    const refused = decoded.ok
      ? this.#judge(decoded, raw, dataLength, pair)
      : failure(decoded.status, atOpcode);
    if (refused || !decoded.ok) {
      pair?.break();
      const nsid = decoded.ok ? decoded.command.nsid : 0;
      connection.respond(cid, refused ?? failure("invalidOpcode", atOpcode), nsid, raw[0]!);
      this.discard(dataLength);
      return;
    }
    const { command, data } = decoded;
    const job: Job = { kind: "call", decoded, pair };
    const direction = commands[command.name].data;
    if (direction === "in" && !this.#answers.admits(decoded)) return;
    if (direction !== "out" || data.lengthBytes === 0) {
      this.#run(decoded, nothing, undefined, pair);
      return;
    }
    const transfer = new HostTransfer<Job>(cid, command.nsid, data.lengthBytes, job);
    this.#expect(transfer, data.placement === "capsule");
    if (!pair || data.placement === "capsule") return;
    const abort = () => {
      pair.fail(command.name, aborted);
      return transfer.abort();
    };
    connection.track({ cid, nsid: command.nsid, abort });
  }

  /** Why a decoded command is refused before its data is looked at. */
  #judge(
    { command, data, fuse: fused }: Decoded,
    raw: Uint8Array,
    dataLength: number,
    pair: FusedPair | undefined,
  ): Answer | undefined {
    const attachment = this.#attachment;
    if (fused !== fuse.none && !pair) {
      return fused === fuse.second
        ? failure("fusedMissing")
        : failure("invalidField", offsetOf(command.name, "flags"));
    }
    if (!attachment) {
      if (command.name !== "connect") return failure("commandSequence", atOpcode);
    } else {
      const refused = refusalNow(command, attachment.controller, attachment.authentication);
      if (refused) return refused;
    }
    const isInCapsule = data.placement === "capsule";
    if (isInCapsule && raw.subarray(24, 32).some((byte) => byte !== 0)) {
      return failure("sglInvalidOffset", offsetOf(command.name, "sgl"));
    }
    const direction = commands[command.name].data;
    const isOut = direction === "out";
    if (isInCapsule ? dataLength !== data.lengthBytes || !isOut : dataLength > 0) {
      return failure("sglInvalidData", atDataLength);
    }
    if (direction === "none" && data.lengthBytes > 0)
      return failure("sglInvalidData", atDataLength);
    const { transferBytesMax } = this.#connection.services.limits;
    const isMessage = command.name === "authenticationSend";
    const bytesMax = isMessage ? Math.min(messageBytesMax, transferBytesMax) : transferBytesMax;
    if (data.lengthBytes > bytesMax) return failure("invalidField", atDataLength);
    const namespace = attachment?.controller.subsystem.namespaces.get(command.nsid);
    const wanted = hostDataBytes(command, namespace, data.lengthBytes);
    if (isOut && data.lengthBytes !== wanted) return failure("sglInvalidData", atDataLength);
    return undefined;
  }

  /** Data is in the capsule, or has to be asked for. */
  #expect(transfer: Transfer, isInCapsule: boolean): void {
    if (isInCapsule) {
      this.#current = transfer;
      this.#currentStart = 0;
      return;
    }
    this.#connection.track(transfer);
    if (this.#waiting.length === 0 && this.#ask(transfer)) return;
    transfer.isWaiting = true;
    this.#waiting.push(transfer);
  }

  /** Sends the R2T of a transfer; false when there is no room for its data. */
  #ask(transfer: Transfer): boolean {
    if (!this.#connection.data.reserve(transfer.lengthBytes, this.#wake)) return false;
    this.#incomingBytes += sizeFor(transfer.lengthBytes);
    transfer.isWaiting = false;
    transfer.ttag = this.#tags.add(transfer);
    const { cid, ttag, lengthBytes } = transfer;
    this.#connection.outbox.readyToTransfer(cid, ttag, 0, lengthBytes);
    return true;
  }

  /** One H2CData of a transfer is complete. */
  #continue(transfer: Transfer): void {
    this.#fedBytes += this.#currentEnd - this.#currentStart;
    transfer.receivedBytes = this.#currentEnd;
    if (transfer.receivedBytes < transfer.lengthBytes) return;
    this.#tags.remove(transfer.ttag!);
    this.#arrived(transfer, transfer.buffer!, 0);
  }

  /** All data of a command is here. */
  #arrived(transfer: Transfer, bytes: Uint8Array, at: number): void {
    const connection = this.#connection;
    const { cid, nsid, job, lengthBytes, isDamaged, isAborted } = transfer;
    const owned = transfer.buffer;
    if (owned) this.#incomingBytes -= sizeOf(owned);
    if (isDamaged || isAborted) {
      if (owned) connection.data.giveBuffer(owned);
      const answer = isDamaged ? failure("transientTransport") : aborted;
      if (job.kind === "call") job.pair?.fail(job.decoded.command.name, answer);
      connection.respond(cid, answer, nsid, 0);
    } else if (job.kind === "write") connection.data.write(job.write, bytes, at, owned);
    else {
      const data = owned ?? bytes.slice(at, at + lengthBytes);
      this.#run(job.decoded, data.subarray(0, lengthBytes), owned, job.pair);
    }
  }

  /** Executes a command, and answers it when it is through. */
  #run(
    decoded: Decoded,
    data: Uint8Array,
    owned: Uint8Array | undefined,
    pair: FusedPair | undefined,
  ): void {
    const connection = this.#connection;
    const { cid, command } = decoded;
    const { lengthBytes } = decoded.data;
    const startMs = connection.nowMs();
    const abort = new AbortController();
    const call: Call = { cid, command, data, lengthBytes, signal: abort.signal };
    const result = this.#execute(call, pair);
    if (result === held) return;
    if (!(result instanceof Promise)) {
      if (owned) connection.data.giveBuffer(owned);
      this.#answer(decoded, result, startMs);
      return;
    }
    connection.track({
      cid,
      nsid: command.nsid,
      abort: () => {
        abort.abort();
        pair?.fail(command.name, aborted);
        return false;
      },
    });
    const work = result.then((answer) => {
      if (owned) connection.data.giveBuffer(owned);
      this.#answer(decoded, answer, startMs);
      connection.flush();
    });
    connection.watch(work);
  }

  #execute(call: Call, pair: FusedPair | undefined) {
    const { command } = call;
    if (command.name === "connect") {
      return this.#connection.services.connect(this.#connection, { ...call, command });
    }
    if (pair && command.name === "compare") return pair.compare({ ...call, command });
    if (pair && command.name === "write") return pair.write({ ...call, command });
    const wasDone = this.#attachment?.authentication?.isDone ?? true;
    const result = execute(this.#context!, call);
    const isDone = this.#attachment?.authentication?.isDone ?? true;
    if (isDone && !wasDone) this.#connection.complete();
    return result;
  }

  #answer({ cid, command, data }: Decoded, answer: Answer, startMs: number): void {
    const connection = this.#connection;
    const { opc, set } = commands[command.name];
    if (set === "io") {
      const tookMs = connection.nowMs() - startMs;
      countCommand(this.#attachment!.controller, command, answer.status, tookMs);
    }
    const wanted = answer.data?.length ?? 0;
    const fits = answer.status !== 0 || wanted === 0 || wanted === data.lengthBytes;
    const final = fits ? answer : failure("sglInvalidData", atDataLength);
    connection.respond(cid, final, command.nsid, opc);
  }
}
