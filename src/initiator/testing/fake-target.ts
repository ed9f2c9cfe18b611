/**
 * A scripted controller for tests: enough of the protocol for a host to connect, identify, read,
 * write and leave, and hooks to misbehave. A test double, made of the encoders of `nvme`.
 */

import type { BlockDevice } from "../../block/index.ts";
import {
  appendCapsuleResp,
  appendData,
  appendR2t,
  asyncEvent,
  type Command,
  type Completion,
  cap,
  cc,
  cns,
  commands,
  type DhchapController,
  type DhchapControllerStep,
  type Digests,
  decodeCommand,
  decodeProperty,
  discoveryLogEntry,
  discoveryLogHeader,
  dwordOf,
  encodeIcResp,
  encodeNamespaceDescriptors,
  encodeNamespaceList,
  encodeProperty,
  encodeStatus,
  feature,
  identifyController,
  identifyNamespace,
  initialFraming,
  logPage,
  numberOfQueues,
  type Pdu,
  type PduFault,
  PduStream,
  property,
  type SendFraming,
  type StatusName,
  statusOf,
} from "../../nvme/index.ts";
import { FakeMedium, type FakeResult } from "./fake-medium.ts";
import type { FarEnd, NearEnd } from "./memory-pipe.ts";

/** A command as a hook sees it. */
export interface FakeCall {
  readonly cid: number;
  readonly command: Command;
  readonly lengthBytes: number;
  readonly queue: FakeQueue;
}

/** How a fake target behaves. */
export interface FakeOptions {
  readonly sizeBytes?: number;
  readonly blockSizeBytes?: number;
  /** CPDA in bytes. */
  readonly cpda?: number;
  readonly maxh2cdata?: number;
  /** Longest R2T. */
  readonly r2tBytes?: number;
  /** Longest C2HData. */
  readonly c2hBytes?: number;
  /** End reads by the SUCCESS flag, without a response. */
  readonly usesSuccess?: boolean;
  readonly ioccsz?: number;
  readonly mdts?: number;
  readonly hasWriteZeroes?: boolean;
  /** Log pages can be read from anywhere, unless false. */
  readonly hasLogOffsets?: boolean;
  /** Compare, Verify and Dataset Management are there; the last one leaves zeros. */
  readonly hasAllCommands?: boolean;
  /** Flush is needed, unless false. */
  readonly hasVolatileCache?: boolean;
  /** None where there are no descriptors. */
  readonly uuid?: string | undefined;
  readonly serial?: string;
  /** The namespace is not there. */
  readonly isGone?: boolean;
  /** AUTHREQ of each queue's Connect: bits 1 (ATR) and 2 (ASCR). */
  readonly authreq?: (qid: number) => number;
  /** The controller's side of authentication, one for each queue. */
  readonly authentication?: (qid: number) => DhchapController;
  /** What the namespace's blocks are on; bytes in memory unless given. */
  readonly device?: BlockDevice;
  readonly isReadOnly?: boolean;
  /** What ICResp says in place of what it was asked for. */
  readonly digests?: Digests;
  /** How often CSTS is read before RDY shows. */
  readonly readyAfter?: number;
  readonly discovery?: readonly Partial<Parameters<typeof discoveryLogEntry.encode>[0]>[];
  /** Sees each command first; true when it has dealt with it. */
  readonly hook?: (call: FakeCall) => boolean;
}

/** UUID of a fake target's namespace, unless told otherwise. */
const fakeUuid = "12345678-1234-4234-8234-123456789abc";

/** The state behind all connections of one fake target. */
export class FakeTarget {
  options: FakeOptions;
  readonly medium: FakeMedium;
  readonly blockSizeBytes: number;
  readonly queues: FakeQueue[] = [];
  /** Names of the commands that came, in order. */
  readonly seen: string[] = [];
  /** Termination requests that came from the host. */
  readonly terminations: { readonly fes: number; readonly fei: number }[] = [];
  /** Features that were set, by CDW11. */
  readonly features = new Map<number, number>();
  /** Log pages beside that of discovery; of changed namespaces there is one unless set here. */
  readonly pages = new Map<number, Uint8Array>();
  genctr = 1n;
  enabled = false;
  isShutDown = false;
  readsUntilReady: number;

  constructor(options: FakeOptions = {}) {
    this.options = options;
    this.blockSizeBytes = options.blockSizeBytes ?? 512;
    const disk = new Uint8Array(options.sizeBytes ?? 1024 * 1024);
    this.medium = new FakeMedium(disk, this.blockSizeBytes, options.device);
    this.readsUntilReady = options.readyAfter ?? 0;
  }

  /** The bytes of the namespace. */
  get disk(): Uint8Array {
    return this.medium.disk;
  }

  set disk(disk: Uint8Array) {
    this.medium.disk = disk;
  }

  /** Behaves differently from now on. */
  change(options: Partial<FakeOptions>): void {
    this.options = { ...this.options, ...options };
  }

  /** Cuts all connections. */
  cut(): void {
    for (const queue of this.queues.splice(0)) queue.cut();
    this.enabled = false;
    this.isShutDown = false;
  }

  /** Takes a connection; give this to a MemoryPipe. */
  readonly accept = (near: NearEnd): FarEnd => {
    const queue = new FakeQueue(this, near);
    this.queues.push(queue);
    return queue;
  };
}

/** One connection of a fake target. */
export class FakeQueue implements FarEnd {
  readonly #target: FakeTarget;
  readonly #near: NearEnd;
  readonly #stream = new PduStream("controller", {
    header: (pdu) => this.#header(pdu),
    data: (slice, offset) => this.#received?.set(slice, offset),
    end: (digestMatches) => this.#dataEnd(digestMatches),
  });
  /** How this side frames what it sends; public so that hooks can send by themselves. */
  framing: SendFraming = { hdgst: false, ddgst: false, alignmentBytes: 4 };
  /** Commands that wait for an event. */
  readonly pendingEvents: number[] = [];
  qid = 0;
  /** What came of the host's authentication. */
  authentication: DhchapController | undefined;
  authenticated: DhchapControllerStep | undefined;
  #received: Uint8Array | undefined;
  #afterData: (() => void) | undefined;
  readonly #transfers = new Map<number, { cid: number; command: Command; data: Uint8Array }>();

  constructor(target: FakeTarget, near: NearEnd) {
    this.#target = target;
    this.#near = near;
  }

  receive(chunk: Uint8Array): void {
    const fault = this.#stream.push(chunk);
    if (fault) throw new Error(`The host broke the protocol: ${fault.detail}`);
  }

  ended(): void {}

  /** Sends buffers as they are. */
  send(chunks: readonly Uint8Array[]): void {
    this.#near.send(Buffer.concat(chunks));
  }

  cut(): void {
    this.#near.cut();
  }

  /** Sends a response. */
  respond(cid: number, values: Partial<Completion> = {}): void {
    const out: Uint8Array[] = [];
    const base = { dw0: 0, dw1: 0, sqhd: 0, sqid: this.qid, cid, status: 0 };
    appendCapsuleResp(out, this.framing, { ...base, ...values });
    this.send(out);
  }

  fail(cid: number, name: StatusName, dnr = true): void {
    this.respond(cid, { status: encodeStatus(statusOf(name, { dnr })) });
  }

  /** Sends data for a read, in pieces, and its end. */
  sendData(cid: number, data: Uint8Array): void {
    const { c2hBytes = data.length, usesSuccess = false } = this.#target.options;
    const out: Uint8Array[] = [];
    for (let datao = 0; datao < data.length; datao += c2hBytes) {
      const piece = data.subarray(datao, Math.min(datao + c2hBytes, data.length));
      const last = datao + piece.length === data.length;
      const header = { cccid: cid, ttag: 0, datao, last, success: last && usesSuccess };
      appendData(out, this.framing, "C2HData", header, piece);
    }
    this.send(out);
    if (!usesSuccess) this.respond(cid);
  }

  /** Asks for the data of a write that a hook kept back, and then runs it. */
  requestData(cid: number, command: Command, lengthBytes: number): void {
    this.#transfers.set(cid, { cid, command, data: new Uint8Array(lengthBytes) });
    this.#requestData(cid, 0);
  }

  /** Completes a waiting Asynchronous Event Request. */
  raiseEvent(aet: number, info: number, lid: number): void {
    const cid = this.pendingEvents.shift();
    if (cid === undefined) throw new Error("no event request is waiting");
    this.respond(cid, { dw0: dwordOf(asyncEvent.encode({ type: { aet }, info, lid })) });
  }

  #header(pdu: Pdu): PduFault | undefined {
    if (pdu.type === "ICReq") this.#initialize(pdu);
    else if (pdu.type === "CapsuleCmd") this.#capsule(pdu);
    else if (pdu.type === "H2CData") {
      const transfer = this.#transfers.get(pdu.ttag)!;
      if (transfer.cid !== pdu.cccid) throw new Error("H2CData with the wrong CCCID");
      this.#received = transfer.data.subarray(pdu.datao, pdu.datao + pdu.dataLength);
      const end = pdu.datao + pdu.dataLength;
      this.#afterData = () => {
        if (!pdu.last) return;
        if (end < transfer.data.length) this.#requestData(pdu.ttag, end);
        else this.#run(transfer.cid, transfer.command, transfer.data);
      };
    } else if (pdu.type === "H2CTermReq") {
      this.#target.terminations.push({ fes: pdu.fes, fei: pdu.fei });
    }
    return undefined;
  }

  #dataEnd(digestMatches: boolean): PduFault | undefined {
    if (!digestMatches) throw new Error("The host sent a wrong data digest.");
    const after = this.#afterData;
    this.#afterData = undefined;
    this.#received = undefined;
    after?.();
    return undefined;
  }

  #initialize(pdu: Pdu & { type: "ICReq" }): void {
    const { cpda = 4, maxh2cdata = 131072, digests: dgst = pdu.dgst } = this.#target.options;
    this.send([encodeIcResp({ pfv: 0, cpda, dgst, maxh2cdata })]);
    this.framing = { ...dgst, alignmentBytes: pdu.hpda };
    const receive = { ...initialFraming, ...dgst, alignmentBytes: cpda };
    this.#stream.framing = { ...receive, capsuleDataBytesMax: 8192, dataBytesMax: maxh2cdata };
  }

  #capsule(pdu: Pdu & { type: "CapsuleCmd" }): void {
    const decoded = decodeCommand(pdu.sqe, this.qid === 0 ? "admin" : "io");
    if (!decoded.ok) {
      this.fail(decoded.cid, decoded.status);
      return;
    }
    const { cid, command, data } = decoded;
    this.#target.seen.push(command.name);
    const call = { cid, command, lengthBytes: data.lengthBytes, queue: this };
    const bytes = new Uint8Array(data.lengthBytes);
    const isOut = commands[command.name].data === "out" && bytes.length > 0;
    if (pdu.dataLength > 0) {
      this.#received = bytes;
      this.#afterData = () => {
        if (!this.#target.options.hook?.(call)) this.#run(cid, command, bytes);
      };
    } else if (this.#target.options.hook?.(call)) return;
    else if (isOut) {
      this.requestData(cid, command, bytes.length);
    } else this.#run(cid, command, bytes);
  }

  #requestData(ttag: number, r2to: number): void {
    const { cid, data } = this.#transfers.get(ttag)!;
    const { r2tBytes = data.length } = this.#target.options;
    const out: Uint8Array[] = [];
    const r2tl = Math.min(r2tBytes, data.length - r2to);
    appendR2t(out, this.framing, { cccid: cid, ttag, r2to, r2tl });
    this.send(out);
  }

  /** Runs a command whose data is all there. */
  #run(cid: number, command: Command, data: Uint8Array): void {
    const { options } = this.#target;
    switch (command.name) {
      case "connect":
        this.qid = command.qid;
        this.authentication = options.authentication?.(command.qid);
        this.respond(cid, { dw0: 7 + (options.authreq?.(command.qid) ?? 0) * 0x10000 });
        break;
      case "propertyGet":
        this.#getProperty(cid, command.ofst);
        break;
      case "propertySet":
        this.#setProperty(cid, command.value);
        break;
      case "identify":
        this.#identify(cid, command.cns, command.nsid);
        break;
      case "getLogPage":
        this.#logPage(cid, command.lid, Number(command.lpo), command.numd * 4);
        break;
      case "setFeatures":
        if (command.fid === feature.numberOfQueues) {
          this.respond(cid, { dw0: dwordOf(numberOfQueues.encode({ nsq: 4, ncq: 4 })) });
        } else {
          this.#target.features.set(command.fid, command.cdw11);
          this.respond(cid);
        }
        break;
      case "getFeatures": {
        const dw0 = this.#target.features.get(command.fid) ?? 0;
        if (lengthOf(command.fid) === 0) this.respond(cid, { dw0 });
        else
          this.sendData(
            cid,
            Uint8Array.from({ length: lengthOf(command.fid) }, (_, n) => n),
          );
        break;
      }
      case "asyncEventRequest":
        this.pendingEvents.push(cid);
        break;
      case "keepAlive":
        this.respond(cid);
        break;
      case "authenticationSend":
        this.authenticated = this.authentication!.send(data);
        this.respond(cid);
        break;
      case "authenticationReceive": {
        const answer = this.authentication!.receive();
        if (answer.kind === "outOfTurn") this.fail(cid, "commandSequence");
        else {
          const raw = new Uint8Array(command.length);
          raw.set(answer.message);
          this.sendData(cid, raw);
        }
        break;
      }
      case "abort":
        this.respond(cid, { dw0: 1 });
        break;
      default:
        this.#runIo(cid, command, data);
    }
  }

  #runIo(cid: number, command: Command, data: Uint8Array): void {
    const { options, medium } = this.#target;
    const isChange = ["write", "writeZeroes", "datasetManagement"].includes(command.name);
    if (options.isGone) this.fail(cid, "invalidNamespace");
    else if (options.isReadOnly && isChange) this.fail(cid, "namespaceWriteProtected");
    else {
      const answer = (result: FakeResult) => {
        if (typeof result === "string") this.fail(cid, result);
        else if (result) this.sendData(cid, result);
        else this.respond(cid);
      };
      const result = medium.run(command, data);
      if (result instanceof Promise) void result.then(answer);
      else answer(result);
    }
  }

  #getProperty(cid: number, ofst: number): void {
    let value = 0n;
    if (ofst === property.cap.ofst) {
      const zero = cap.decode(new Uint8Array(8));
      const features = { ...zero.features, css: 1 };
      value = encodeProperty(cap, { ...zero, mqes: 128, to: 4, features });
    } else if (ofst === property.csts.ofst) {
      const isReady = this.#target.enabled && this.#target.readsUntilReady-- <= 0;
      value = (isReady ? 1n : 0n) + (this.#target.isShutDown ? 8n : 0n);
    }
    const half = 2n ** 32n;
    this.respond(cid, { dw0: Number(value % half), dw1: Number(value / half) });
  }

  #setProperty(cid: number, value: bigint): void {
    const { en, shn } = decodeProperty(cc, value).bits;
    this.#target.enabled = en;
    this.#target.isShutDown = shn !== 0;
    this.respond(cid);
  }

  #identify(cid: number, structure: number, nsid: number): void {
    const { options, disk, blockSizeBytes } = this.#target;
    if (structure === cns.controller) this.sendData(cid, this.#controller());
    else if (structure === cns.activeNamespaces) {
      this.sendData(cid, encodeNamespaceList(nsid < 1 && !options.isGone ? [1] : []));
    } else if (nsid !== 1 || options.isGone) this.fail(cid, "invalidNamespace");
    else if (structure === cns.namespaceDescriptors) {
      const { uuid } = { uuid: fakeUuid, ...options };
      this.sendData(cid, encodeNamespaceDescriptors({ ...(uuid ? { uuid } : {}), csi: 0 }));
    } else {
      const zero = identifyNamespace.decode(new Uint8Array(4096));
      const blocks = BigInt(disk.length / blockSizeBytes);
      const lbaf = zero.lbaf.map((f, i) =>
        i > 0 ? f : { ...f, lbads: Math.log2(blockSizeBytes) },
      );
      const nsattr = { writeProtected: options.isReadOnly ?? false };
      const dlfeat = { ...zero.dlfeat, readBehavior: options.hasAllCommands ? 1 : 0 };
      const sizes = { nsze: blocks, ncap: blocks, nuse: blocks };
      this.sendData(cid, identifyNamespace.encode({ ...zero, ...sizes, dlfeat, lbaf, nsattr }));
    }
  }

  #controller(): Uint8Array {
    const { options } = this.#target;
    const { ioccsz = 4 + 8192 / 16, mdts = 0, hasWriteZeroes = true } = options;
    const { hasAllCommands: all = false, hasVolatileCache = true, serial = "42" } = options;
    const has = { compare: all, verify: all, datasetManagement: all, writeZeroes: hasWriteZeroes };
    const zero = identifyController.decode(new Uint8Array(4096));
    return identifyController.encode({
      ...zero,
      mn: "Fake",
      sn: serial,
      fr: "1",
      cntlid: 7,
      mdts,
      oaes: 0x80000900,
      kas: 10,
      ioccsz,
      iorcsz: 1,
      acl: 4,
      elpe: 128,
      nanagrpid: 2,
      nn: 1024,
      oncs: { ...zero.oncs, ...has },
      vwc: { present: hasVolatileCache, flushBehavior: 0 },
      sgls: { support: 1, keyed: false },
    });
  }

  #logPage(cid: number, lid: number, lpo: number, lengthBytes: number): void {
    const changed = lid === logPage.changedNamespaces ? encodeNamespaceList([1]) : undefined;
    const page = this.#target.pages.get(lid) ?? changed;
    if (page) {
      // As the Linux target does it: every piece is how the page begins; zeros follow its end.
      const from = this.#target.options.hasLogOffsets === false ? 0 : lpo;
      const data = new Uint8Array(lengthBytes);
      data.set(page.subarray(from, from + lengthBytes));
      this.sendData(cid, data);
      return;
    }
    const entries = this.#target.options.discovery ?? [];
    const zero = discoveryLogEntry.decode(new Uint8Array(1024));
    const header = { genctr: this.#target.genctr, numrec: BigInt(entries.length), recfmt: 0 };
    const log = Buffer.concat([
      discoveryLogHeader.encode(header),
      ...entries.map((entry) => discoveryLogEntry.encode({ ...zero, ...entry })),
    ]);
    this.sendData(cid, log.subarray(lpo, lpo + lengthBytes));
  }
}

/** Data that Get Features of a feature brings. */
function lengthOf(fid: number): number {
  if (fid === feature.timestamp) return 8;
  return fid === feature.hostIdentifier ? 16 : 0;
}
