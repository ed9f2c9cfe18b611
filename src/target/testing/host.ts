/** A scripted host for tests: connections in memory to a target, made of the encoders of `nvme`. */

import {
  anyController,
  appendCapsuleCmd,
  appendData,
  type Command,
  type Completion,
  cc,
  command,
  commands,
  connectData,
  type DataPointer,
  type Digests,
  decodeProperty,
  decodeStatus,
  describeStatus,
  encodeCommand,
  encodeIcReq,
  encodeProperty,
  fabricsOpcode,
  initialFraming,
  type Pdu,
  PduStream,
  property,
  type SendFraming,
} from "../../nvme/index.ts";
import type { TargetConnection } from "../connection.ts";
import type { Target } from "../target.ts";
import type { Transport } from "../transport.ts";

/** Time of all tests; moves when told to. */
export class Clock {
  nowMs = 1000;
}

/** What came back for a command. */
export interface Reply {
  /** Name of the status. */
  readonly status: string;
  readonly dnr: boolean;
  readonly completion: Completion;
  readonly data: Uint8Array;
}

/** How commands are sent. */
export interface SendOptions {
  readonly cid?: number;
  /** Data of the host. */
  readonly data?: Uint8Array;
  /** How much it wants to read. */
  readonly readBytes?: number;
  /** Data goes in the capsule; true unless told. */
  readonly inCapsule?: boolean;
  readonly fused?: number;
  /** SGL length in place of the right one. */
  readonly sglBytes?: number;
}

interface Waiting {
  readonly isFabrics: boolean;
  readonly data: Uint8Array;
  readonly read: Uint8Array;
  readonly done: (reply: Reply) => void;
}

/** One connection of the host. */
export class TestQueue {
  readonly connection: TargetConnection;
  readonly waiting = new Map<number, Waiting>();
  /** Every PDU that came, in order. */
  readonly pdus: Pdu[] = [];
  isEnded = false;
  isReceiving = true;
  /** Bytes that the fake socket holds back while `isStalled`. */
  bufferedBytes = 0;
  /** Those of them that left all the same, of a piece whose rest is there. */
  takenBytes = 0;
  isStalled = false;
  framing: SendFraming = { hdgst: false, ddgst: false, alignmentBytes: 4 };
  /** Longest H2CData. */
  h2cBytes = 4096;
  /** What is sent together arrives in pieces of this size. */
  pieceBytes = Number.POSITIVE_INFINITY;
  #held: (() => void)[] = [];
  #nextCid = 1;
  #at = 0;
  #current: Waiting | undefined;
  #currentCid = 0;
  #currentEnds = false;
  readonly #stream = new PduStream("host", {
    header: (pdu) => this.#header(pdu),
    data: (slice, offset) => this.#current?.read.set(slice, this.#at + offset),
    end: (matches) => {
      if (!matches) throw new Error("The target sent a wrong data digest.");
      if (this.#currentEnds) this.#finish(this.#currentCid, success(this.#currentCid));
      return undefined;
    },
  });

  constructor(
    target: Target,
    clock: Clock,
    local: string,
    tls?: Transport["tlsParties"],
    isDiscoveryOnly = false,
    tlsPolicy: Transport["tlsPolicy"] = tls ? "required" : "off",
  ) {
    const queue = this;
    const connection = target.accept({
      local: { address: local, port: 4420, family: "ipv4" },
      remote: { address: "192.0.2.9", port: 50000, family: "ipv4" },
      ...(tls ? { tlsParties: tls } : {}),
      isDiscoveryOnly,
      tlsPolicy,
      get bufferedBytes() {
        return queue.bufferedBytes;
      },
      get sendMark() {
        return queue.bufferedBytes - queue.takenBytes;
      },
      send: (chunk, sent) => {
        if (queue.isEnded) return sent();
        queue.#deliver(Uint8Array.from(chunk));
        if (!queue.isStalled) return sent();
        queue.bufferedBytes += chunk.length;
        queue.#held.push(sent);
      },
      setReceiving: (isReceiving) => {
        queue.isReceiving = isReceiving;
      },
      end: () => {
        queue.isEnded = true;
      },
      nowMs: () => clock.nowMs,
    });
    if (!connection) throw new Error("The target refused the connection.");
    this.connection = connection;
  }

  /** Lets the fake socket move on. */
  unstall(): void {
    this.isStalled = false;
    this.bufferedBytes = 0;
    for (const sent of this.#held.splice(0)) sent();
    this.connection.writable();
  }

  /** Sends bytes as they are, in pieces of `pieceBytes`. */
  push(bytes: Uint8Array, pieceBytes = Number.POSITIVE_INFINITY): void {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      this.#receive(Uint8Array.from(bytes.subarray(at, Math.min(at + pieceBytes, bytes.length))));
    }
  }

  /** As a driver does: data lands where it belongs, all else is gone after the call. */
  #receive(piece: Uint8Array): void {
    const place = this.connection.landing();
    const landed = Math.min(place?.length ?? 0, piece.length);
    if (place && landed > 0) {
      place.set(piece.subarray(0, landed));
      this.connection.landed(landed);
    }
    const rest = piece.subarray(landed);
    if (rest.length === 0) return;
    this.connection.receive(rest);
    rest.fill(0xdd);
  }

  /** Exchanges ICReq and ICResp. */
  initialize(dgst: Digests = { hdgst: false, ddgst: false }, hpda = 4): void {
    this.push(encodeIcReq({ pfv: 0, hpda, dgst, maxr2t: 1 }));
    const answer = this.pdus.at(-1);
    if (answer?.type !== "ICResp") throw new Error(`${answer?.type} in place of ICResp`);
    this.framing = { ...dgst, alignmentBytes: answer.cpda };
    this.#stream.framing = { ...initialFraming, ...dgst, alignmentBytes: hpda };
  }

  /** Sends a command and gives back its answer when it comes. */
  send(value: Command, options: SendOptions = {}): Promise<Reply> {
    const { data = new Uint8Array(0), readBytes = 0, inCapsule = true, fused = 0 } = options;
    const cid = options.cid ?? this.#nextCid++;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    const isFabrics = commands[value.name].set === "fabrics";
    const read = new Uint8Array(readBytes);
    this.waiting.set(cid, { isFabrics, data, read, done: resolve });
    const lengthBytes = options.sglBytes ?? data.length + readBytes;
    const isCapsule = inCapsule && data.length > 0;
    const pointer: DataPointer = { placement: isCapsule ? "capsule" : "transport", lengthBytes };
    const out: Uint8Array[] = [];
    const sqe = encodeCommand(value, cid, pointer, fused);
    appendCapsuleCmd(out, this.framing, sqe, isCapsule ? data : undefined);
    this.push(Buffer.concat(out), this.pieceBytes);
    return promise;
  }

  /** Sends the 64 bytes of a command without data as they are. */
  sendRaw(sqe: Uint8Array): Promise<Reply> {
    const { promise, resolve } = Promise.withResolvers<Reply>();
    const nothing = new Uint8Array(0);
    const cid = sqe[2]! + sqe[3]! * 256;
    const isFabrics = sqe[0] === fabricsOpcode;
    this.waiting.set(cid, { isFabrics, data: nothing, read: nothing, done: resolve });
    const out: Uint8Array[] = [];
    appendCapsuleCmd(out, this.framing, sqe);
    this.push(Buffer.concat(out), this.pieceBytes);
    return promise;
  }

  /** Sends an H2CData as told, right or wrong. */
  sendData(cccid: number, ttag: number, datao: number, data: Uint8Array, last: boolean): void {
    const out: Uint8Array[] = [];
    appendData(out, this.framing, "H2CData", { cccid, ttag, datao, last }, data);
    this.push(Buffer.concat(out), this.pieceBytes);
  }

  #deliver(chunk: Uint8Array): void {
    const fault = this.#stream.push(chunk);
    if (fault) throw new Error(`The target broke the protocol: ${fault.detail}`);
  }

  #header(pdu: Pdu): undefined {
    this.pdus.push(pdu);
    if (pdu.type === "CapsuleResp") this.#finish(pdu.cqe.cid, pdu.cqe);
    else if (pdu.type === "C2HData") {
      this.#current = this.waiting.get(pdu.cccid);
      this.#currentCid = pdu.cccid;
      this.#at = pdu.datao;
      this.#currentEnds = pdu.success;
    } else if (pdu.type === "R2T") {
      const { cccid, ttag, r2to, r2tl } = pdu;
      const waiting = this.waiting.get(cccid);
      if (waiting) queueMicrotask(() => this.#give(waiting, cccid, ttag, r2to, r2tl));
    }
    return undefined;
  }

  #give(waiting: Waiting, cccid: number, ttag: number, r2to: number, r2tl: number): void {
    for (let at = r2to; at < r2to + r2tl; at += this.h2cBytes) {
      const end = Math.min(at + this.h2cBytes, r2to + r2tl);
      this.sendData(cccid, ttag, at, waiting.data.subarray(at, end), end === r2to + r2tl);
    }
  }

  #finish(cid: number, completion: Completion): void {
    const waiting = this.waiting.get(cid);
    if (!waiting) throw new Error(`A completion of ${cid}, which is no command.`);
    this.waiting.delete(cid);
    const status = decodeStatus(completion.status);
    const { name } = describeStatus(status, waiting.isFabrics);
    waiting.done({ status: name, dnr: status.dnr, completion, data: waiting.read });
  }
}

function success(cid: number): Completion {
  return { dw0: 0, dw1: 0, sqhd: 0xffff, sqid: 0, cid, status: 0 };
}

/** How a test host connects. */
export interface HostOptions {
  readonly subnqn: string;
  readonly hostnqn?: string;
  readonly hostid?: number;
  readonly dgst?: Digests;
  readonly hpda?: number;
  readonly katoMs?: number;
  readonly local?: string;
  readonly tls?: Transport["tlsParties"];
  readonly withoutFlowControl?: boolean;
  readonly isDiscoveryOnly?: boolean;
  /** Of the listener: "required" with `tls`, else "off", unless told. */
  readonly tlsPolicy?: Transport["tlsPolicy"];
}

/** Name of the test host. */
export const hostnqn = "nqn.2026-11.org.example:host";

/** A host with an admin queue, and I/O queues as asked for. */
export class TestHost {
  readonly #target: Target;
  readonly #clock: Clock;
  readonly #options: HostOptions;
  cntlid = anyController;
  admin!: TestQueue;

  constructor(target: Target, clock: Clock, options: HostOptions) {
    this.#target = target;
    this.#clock = clock;
    this.#options = options;
  }

  /** Connects and enables; `ioQueues` queues follow. */
  static async open(
    target: Target,
    clock: Clock,
    options: HostOptions,
    ioQueues = 1,
  ): Promise<TestHost & { readonly io: TestQueue[] }> {
    const host = new TestHost(target, clock, options);
    host.admin = host.queue();
    const reply = await host.connect(host.admin, 0);
    if (reply.status !== "success") throw new Error(`Connect: ${reply.status}`);
    host.cntlid = reply.completion.dw0 % 65536;
    await host.enable();
    const io: TestQueue[] = [];
    for (let qid = 1; qid <= ioQueues; qid++) {
      const queue = host.queue();
      const connected = await host.connect(queue, qid);
      if (connected.status !== "success") throw new Error(`Connect: ${connected.status}`);
      io.push(queue);
    }
    return Object.assign(host, { io });
  }

  /** A new connection that is initialised. */
  queue(): TestQueue {
    const { local = "192.0.2.1", dgst, hpda, tls, isDiscoveryOnly, tlsPolicy } = this.#options;
    const queue = new TestQueue(this.#target, this.#clock, local, tls, isDiscoveryOnly, tlsPolicy);
    queue.initialize(dgst, hpda);
    return queue;
  }

  /** Sends Connect, with fields as told. */
  connect(
    queue: TestQueue,
    qid: number,
    given: { sqsize?: number; cntlid?: number; subnqn?: string; hostnqn?: string } = {},
  ): Promise<Reply> {
    const options = this.#options;
    const data = connectData.encode({
      hostid: new Uint8Array(16).fill(options.hostid ?? 1),
      cntlid: given.cntlid ?? (qid === 0 ? anyController : this.cntlid),
      subnqn: given.subnqn ?? options.subnqn,
      hostnqn: given.hostnqn ?? options.hostnqn ?? hostnqn,
    });
    const { cattr } = command("connect");
    const connect = command("connect", {
      qid,
      sqsize: given.sqsize ?? 32,
      kato: qid === 0 ? (options.katoMs ?? 0) : 0,
      cattr: { ...cattr, dissqflow: options.withoutFlowControl ?? false },
    });
    return queue.send(connect, { data });
  }

  /** Sets CC, as Linux does unless told. */
  enable(bits: Partial<ReturnType<typeof enabled>> = {}): Promise<Reply> {
    return this.setConfiguration({ ...enabled(), ...bits });
  }

  setConfiguration(bits: ReturnType<typeof enabled>): Promise<Reply> {
    const value = encodeProperty(cc, { bits });
    const { ofst } = property.cc;
    return this.admin.send(command("propertySet", { ofst, value }));
  }

  /** CSTS, or another property of 4 bytes. */
  async property(ofst: number = property.csts.ofst): Promise<number> {
    const { completion } = await this.admin.send(command("propertyGet", { ofst }));
    return completion.dw0;
  }
}

/** CC of a host that enables the NVM command set. */
export function enabled() {
  const { bits } = decodeProperty(cc, 0n);
  return { ...bits, en: true, iosqes: 6, iocqes: 4 };
}

/** Bytes that differ from place to place. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from(
    { length },
    (_, index) => (index * 31 + seed * 17 + Math.floor(index / 256)) % 256,
  );
}
