/**
 * One connection of the load generator. Connecting goes through the codecs of `nvme`; afterwards
 * PDUs are made of templates and read by hand, so that the generator takes as little time as it
 * can: what is to be measured is the target.
 */

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { crc32c } from "../src/bytes/index.ts";
import {
  anyController,
  appendCapsuleCmd,
  appendData,
  type Command,
  type Completion,
  cc,
  command,
  connectData,
  connectResult,
  type Digests,
  decodeProperty,
  dword,
  encodeCommand,
  encodeIcReq,
  encodeProperty,
  initialFraming,
  type Pdu,
  PduStream,
  property,
  type SendFraming,
} from "../src/nvme/index.ts";
import { benchNqn } from "./nvme-loads.ts";

const receiveBytes = 2 ** 20;
const alignmentBytes = 4;
const adminEntries = 32;

/** A queue that is connected, whose bytes go to whoever takes them. */
export class Wire {
  readonly socket: Socket;
  readonly digests: Digests;
  framing: SendFraming;
  /** Longest data of one H2CData. */
  h2cBytesMax = 0;
  #take: (chunk: Buffer) => void;
  #answered: PromiseWithResolvers<Pdu> = Promise.withResolvers();
  #isClosed = false;

  private constructor(port: number, digests: Digests) {
    this.digests = digests;
    this.framing = { ...digests, alignmentBytes };
    const stream = new PduStream("host", {
      header: (pdu) => {
        if (pdu.type === "ICResp") stream.framing = { ...initialFraming, ...digests };
        this.#answered.resolve(pdu);
        return undefined;
      },
      data: () => {},
      end: () => undefined,
    });
    this.#take = (chunk) => {
      const fault = stream.push(chunk);
      if (fault) throw new Error(`The target broke the protocol: ${fault.detail}`);
    };
    const buffer = Buffer.allocUnsafeSlow(receiveBytes);
    const callback = (length: number) => {
      this.#take(buffer.subarray(0, length));
      return true;
    };
    this.socket = connect({ host: "127.0.0.1", port, noDelay: true, onread: { buffer, callback } });
    this.socket.on("close", () => {
      if (!this.#isClosed) this.#answered.reject(new Error("The target hung up."));
    });
  }

  /** Connects the admin queue of a new controller and enables it; gives the controller's id. */
  static async openAdmin(port: number, digests: Digests): Promise<{ wire: Wire; cntlid: number }> {
    const wire = await Wire.#initialized(port, digests);
    const { dw0 } = await wire.#connect(0, anyController, adminEntries);
    const { bits } = decodeProperty(cc, 0n);
    const value = encodeProperty(cc, { bits: { ...bits, en: true, iosqes: 6, iocqes: 4 } });
    await wire.#execute(command("propertySet", { ofst: property.cc.ofst, value }));
    return { wire, cntlid: connectResult.decode(dword(dw0)).cntlid };
  }

  /** Connects an I/O queue. */
  static async openIo(
    port: number,
    digests: Digests,
    queue: { readonly qid: number; readonly cntlid: number; readonly entries: number },
  ): Promise<Wire> {
    const wire = await Wire.#initialized(port, digests);
    await wire.#connect(queue.qid, queue.cntlid, queue.entries);
    return wire;
  }

  static async #initialized(port: number, digests: Digests): Promise<Wire> {
    const wire = new Wire(port, digests);
    await once(wire.socket, "connect");
    wire.socket.write(encodeIcReq({ pfv: 0, hpda: alignmentBytes, dgst: digests, maxr2t: 1 }));
    const answer = await wire.#answer();
    if (answer.type !== "ICResp") throw new Error(`The target sent ${answer.type} for ICResp.`);
    wire.framing = { ...digests, alignmentBytes: answer.cpda };
    wire.h2cBytesMax = answer.maxh2cdata;
    return wire;
  }

  /** From now on, bytes go to `take`; they are valid until it returns. */
  handOver(take: (chunk: Buffer) => void): void {
    this.#take = take;
  }

  /** Hangs up. */
  close(): void {
    this.#isClosed = true;
    this.socket.destroy();
  }

  #connect(qid: number, cntlid: number, entries: number): Promise<Completion> {
    const hostnqn = "nqn.2026-11.org.example:load";
    const hostid = new Uint8Array(16).fill(7);
    const data = connectData.encode({ hostid, cntlid, subnqn: benchNqn, hostnqn });
    return this.#execute(command("connect", { qid, sqsize: entries }), data);
  }

  async #execute(value: Command, data?: Uint8Array): Promise<Completion> {
    const out: Uint8Array[] = [];
    const pointer = { placement: data ? "capsule" : "transport", lengthBytes: data?.length ?? 0 };
    const sqe = encodeCommand(value, 1, pointer as Parameters<typeof encodeCommand>[2]);
    appendCapsuleCmd(out, this.framing, sqe, data);
    this.socket.write(Buffer.concat(out));
    const answer = await this.#answer();
    if (answer.type !== "CapsuleResp" || answer.cqe.status !== 0) {
      throw new Error(`The target refused ${value.name}: ${JSON.stringify(answer)}`);
    }
    return answer.cqe;
  }

  async #answer(): Promise<Pdu> {
    const pdu = await this.#answered.promise;
    this.#answered = Promise.withResolvers();
    return pdu;
  }
}

/** What a stream of commands of one kind is made of. */
export interface StreamOptions {
  readonly kind: "read" | "write";
  readonly blockBytes: number;
  readonly depth: number;
  /** Writes up to this go in their capsules. */
  readonly capsuleDataBytesMax: number;
  /** Number of the first logical block of the next command. */
  readonly nextLba: () => number;
  /** Called for each command that has ended; false asks for no other one. */
  readonly ended: () => boolean;
}

const lbaBytes = 512;
const typeCapsuleResp = 5;
const typeC2hData = 7;
const typeR2t = 9;
const flagSuccess = 8;
/** All headers that a controller sends have this length. */
const headerLength = 24;
/** Where a capsule has its command identifier and its starting block. */
const cidAt = 10;
const slbaAt = 48;

/** Keeps a number of equal commands under way on a wire. */
export class CommandStream {
  readonly #wire: Wire;
  readonly #options: StreamOptions;
  readonly #template: Buffer;
  readonly #headerDigestAt: number;
  readonly #data: Buffer;
  /**
   * Capsules in the order in which they are sent. At most `depth` of them have not left, and there
   * is room for more than twice as many, so that none is overwritten before it has.
   */
  readonly #ring: Buffer;
  #head = 0;
  #unsentFrom = 0;
  readonly #header = Buffer.alloc(headerLength);
  #have = 0;
  #left = 0;
  #cidAfterData = -1;

  constructor(wire: Wire, options: StreamOptions) {
    this.#wire = wire;
    this.#options = options;
    const { kind, blockBytes, depth } = options;
    this.#data = Buffer.alloc(blockBytes, "diskomator");
    const inCapsule = kind === "write" && blockBytes <= options.capsuleDataBytesMax;
    const placement = inCapsule ? "capsule" : "transport";
    const range = { nsid: 1, nlb: blockBytes / lbaBytes };
    const value = kind === "read" ? command("read", range) : command("write", range);
    const sqe = encodeCommand(value, 0, { placement, lengthBytes: blockBytes });
    const out: Uint8Array[] = [];
    appendCapsuleCmd(out, wire.framing, sqe, inCapsule ? this.#data : undefined);
    this.#template = Buffer.concat(out);
    this.#headerDigestAt = wire.digests.hdgst ? 72 : 0;
    this.#ring = Buffer.alloc(this.#template.length * (2 * depth + 2));
    wire.handOver((chunk) => this.#receive(chunk));
  }

  /** Sends the first commands. */
  start(): void {
    for (let cid = 0; cid < this.#options.depth; cid++) this.#append(cid);
    this.#flush();
  }

  #append(cid: number): void {
    const { length } = this.#template;
    if (this.#head + length > this.#ring.length) {
      this.#flush();
      this.#head = 0;
      this.#unsentFrom = 0;
    }
    const at = this.#head;
    this.#template.copy(this.#ring, at);
    this.#ring.writeUInt16LE(cid, at + cidAt);
    this.#ring.writeUInt32LE(this.#options.nextLba(), at + slbaAt);
    if (this.#headerDigestAt > 0) {
      const end = at + this.#headerDigestAt;
      this.#ring.writeUInt32LE(crc32c(this.#ring.subarray(at, end)), end);
    }
    this.#head += length;
  }

  #flush(): void {
    if (this.#head === this.#unsentFrom) return;
    this.#wire.socket.write(this.#ring.subarray(this.#unsentFrom, this.#head));
    this.#unsentFrom = this.#head;
  }

  #receive(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const passed = Math.min(this.#left, chunk.length - at);
        this.#left -= passed;
        at += passed;
      } else if (this.#have === 0 && chunk.length - at >= headerLength) {
        this.#open(chunk, at);
        at += headerLength;
      } else {
        const copied = chunk.copy(this.#header, this.#have, at, at + headerLength - this.#have);
        at += copied;
        this.#have += copied;
        if (this.#have < headerLength) break;
        this.#have = 0;
        this.#open(this.#header, 0);
      }
      if (this.#left === 0 && this.#cidAfterData >= 0) {
        this.#end(this.#cidAfterData);
        this.#cidAfterData = -1;
      }
    }
    this.#flush();
  }

  /** A header is complete; what follows it up to the next one is passed over. */
  #open(bytes: Buffer, at: number): void {
    const type = bytes[at]!;
    this.#left = bytes.readUInt32LE(at + 4) - headerLength;
    if (type === typeC2hData) {
      const isLast = (bytes[at + 1]! & flagSuccess) !== 0;
      if (isLast) this.#cidAfterData = bytes.readUInt16LE(at + 8);
    } else if (type === typeCapsuleResp) {
      const status = bytes.readUInt16LE(at + 22);
      if (status > 1) throw new Error(`A command failed with status field ${status}.`);
      this.#end(bytes.readUInt16LE(at + 20));
    } else if (type === typeR2t) {
      this.#give(bytes.readUInt16LE(at + 8), bytes.readUInt16LE(at + 10), {
        r2to: bytes.readUInt32LE(at + 12),
        r2tl: bytes.readUInt32LE(at + 16),
      });
    } else throw new Error(`The target sent a PDU of type ${type}.`);
  }

  #end(cid: number): void {
    if (this.#options.ended()) this.#append(cid);
  }

  #give(cccid: number, ttag: number, { r2to, r2tl }: { r2to: number; r2tl: number }): void {
    const out: Uint8Array[] = [];
    const endAt = r2to + r2tl;
    for (let datao = r2to; datao < endAt; datao += this.#wire.h2cBytesMax) {
      const end = Math.min(datao + this.#wire.h2cBytesMax, endAt);
      const header = { cccid, ttag, datao, last: end === endAt };
      appendData(out, this.#wire.framing, "H2CData", header, this.#data.subarray(datao, end));
    }
    this.#flush();
    this.#wire.socket.cork();
    for (const bytes of out) this.#wire.socket.write(bytes);
    this.#wire.socket.uncork();
  }
}
