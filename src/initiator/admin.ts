/**
 * An admin queue and what is done through it: bringing the controller up, its properties, Identify
 * data, log pages, features, and shutting it down. NVMe Base 2.0 §3.5 and §3.6, §5.
 */

import type { CallOptions } from "../block/index.ts";
import {
  adminCapsuleBytesMax,
  anyController,
  asyncEventConfiguration,
  type Cap,
  type Csts,
  cap,
  cc,
  cns,
  command,
  csts,
  decodeProperty,
  dword,
  dwordOf,
  encodeProperty,
  feature,
  type IdentifyController,
  type IdentifyControllerNvm,
  identifyBytes,
  identifyController,
  identifyControllerNvm,
  numberOfQueues,
  property,
  shn,
  shst,
  u64OfDwords,
} from "../nvme/index.ts";
import { Channel, type ChannelContext, type TimedOptions } from "./channel.ts";
import { InitiatorError, isStatus } from "./error.ts";
import type { QueueConfig } from "./queue-state.ts";
import type { Dial } from "./transport.ts";

/** Entries of an admin queue, as in Linux. */
export const adminEntries = 32;
/** How long a shutdown may take before the connection is closed all the same. */
const shutdownTimeoutMs = 5000;
/**
 * Log pages are read in pieces of at most this. One piece wherever MDTS allows it: the Linux target
 * has no offsets in pages but that of discovery, and answers every piece with how the page begins.
 */
const logPieceBytesMax = 64 * 1024;

/** What a host says of itself, and what it asks for, the same for each queue. */
export type HostConfig = Pick<
  QueueConfig,
  "subnqn" | "hostnqn" | "hostid" | "digests" | "connectTimeoutMs"
>;

/** VS from which on controllers describe themselves by command set. */
const versionWithCommandSets = 0x20000;

/** How much one command that moves no data may be about. */
export interface RangeLimits {
  readonly zeroesBytesMax: number;
  readonly verifyBytesMax: number;
  readonly deallocateBlocksMax: number;
}

/** An enabled controller, seen through its admin queue. */
export class Admin {
  readonly channel: Channel;
  readonly #context: ChannelContext;
  #cap: Cap | undefined;
  #identify: IdentifyController | undefined;
  #nvm: IdentifyControllerNvm | undefined;

  private constructor(channel: Channel, context: ChannelContext) {
    this.channel = channel;
    this.#context = context;
  }

  /**
   * Connects the admin queue, enables the controller and identifies it, each command within
   * `connectTimeoutMs` of `host`.
   * @param katoMs Keep Alive Timeout, 0 for none.
   * @throws InitiatorError, or the signal's reason; the connection is closed then.
   */
  static async open(
    dial: Dial,
    host: HostConfig,
    katoMs: number,
    context: ChannelContext,
    options: CallOptions = {},
  ): Promise<Admin> {
    const config: QueueConfig = {
      ...host,
      qid: 0,
      entries: adminEntries,
      cntlid: anyController,
      katoMs,
      capsuleDataBytesMax: adminCapsuleBytesMax,
    };
    const channel = await Channel.open(dial, config, context, options);
    const admin = new Admin(channel, context);
    try {
      await admin.#enable({ ...options, timeoutMs: host.connectTimeoutMs });
      return admin;
    } catch (error) {
      await channel.close();
      throw error;
    }
  }

  /** CAP, as read when the controller was brought up. */
  get cap(): Cap {
    if (!this.#cap) throw new TypeError("An Admin has been opened before it is used.");
    return this.#cap;
  }

  /** Identify Controller, as read when the controller was brought up. */
  get controller(): IdentifyController {
    if (!this.#identify) throw new TypeError("An Admin has been opened before it is used.");
    return this.#identify;
  }

  /** Longest data of one command by MDTS, in bytes; Infinity where there is no limit. */
  get transferBytesMax(): number {
    const { mdts } = this.controller;
    return mdts === 0 ? Number.POSITIVE_INFINITY : 2 ** (mdts + 12 + this.cap.features.mpsmin);
  }

  /** The 4096 bytes that Identify returns for `structure` (CNS). */
  async identify(structure: number, nsid: number, options: TimedOptions = {}): Promise<Uint8Array> {
    const target = new Uint8Array(identifyBytes);
    const identify = command("identify", { cns: structure, nsid });
    await this.channel.execute(identify, { ...options, transfer: { kind: "in", target } });
    return target;
  }

  /**
   * Longest Write Zeroes and Verify in bytes, and longest range of Dataset Management in blocks;
   * Infinity where there is no limit, or the controller does not say (NVM Command Set 1.0 §4.1.5.4).
   */
  async rangeLimits(options: CallOptions = {}): Promise<RangeLimits> {
    if (!this.#nvm && this.controller.ver >= versionWithCommandSets) {
      const raw = await this.identify(cns.commandSetController, 0, options).catch(unlessRefused);
      this.#nvm = raw && identifyControllerNvm.decode(raw);
    }
    const { vsl = 0, wzsl = 0, dmrsl = 0 } = this.#nvm ?? {};
    const bytesOf = (power: number) => 2 ** (power + 12 + this.cap.features.mpsmin);
    const orNone = (value: number, limit: number) =>
      value === 0 ? Number.POSITIVE_INFINITY : limit;
    return {
      zeroesBytesMax: orNone(wzsl, bytesOf(wzsl)),
      verifyBytesMax: orNone(vsl, bytesOf(vsl)),
      deallocateBlocksMax: orNone(dmrsl, dmrsl),
    };
  }

  /** How much of a log page one command brings at most. */
  get logPieceBytes(): number {
    return Math.min(this.transferBytesMax, logPieceBytesMax);
  }

  /** `lengthBytes` (a multiple of 4) of log page `lid` from `offsetBytes` on. */
  async logPage(
    lid: number,
    offsetBytes: number,
    lengthBytes: number,
    options: CallOptions & { readonly retainEvent?: boolean } = {},
  ): Promise<Uint8Array> {
    const page = new Uint8Array(lengthBytes);
    const pieceBytes = this.logPieceBytes;
    for (let at = 0; at < lengthBytes; at += pieceBytes) {
      const target = page.subarray(at, Math.min(at + pieceBytes, lengthBytes));
      const isLast = at + pieceBytes >= lengthBytes;
      const get = command("getLogPage", {
        nsid: 0xffffffff,
        lid,
        numd: target.length / 4,
        lpo: BigInt(offsetBytes + at),
        specific: { lsp: 0, rae: options.retainEvent === true || !isLast },
      });
      const transfer = { kind: "in", target, mayBeShort: true } as const;
      await this.channel.execute(get, { ...options, transfer });
    }
    return page;
  }

  /** Asks for `wanted` I/O queues; returns how many the controller grants, at least 1. */
  async grantQueues(wanted: number, options: TimedOptions = {}): Promise<number> {
    const cdw11 = dwordOf(numberOfQueues.encode({ nsq: wanted, ncq: wanted }));
    const set = command("setFeatures", { fid: feature.numberOfQueues, cdw11 });
    const { dw0 } = await this.channel.execute(set, options);
    const granted = numberOfQueues.decode(dword(dw0));
    return Math.min(wanted, granted.nsq, granted.ncq);
  }

  /**
   * Asks to be told of namespace, path and discovery changes, as far as the controller can. One that
   * refuses is used without, or tells what it tells unasked.
   */
  async enableEvents(options: TimedOptions = {}): Promise<void> {
    const able = asyncEventConfiguration.decode(dword(this.controller.oaes)).bits;
    const { namespaceAttribute, ana, discoveryLog } = able;
    if (!namespaceAttribute && !ana && !discoveryLog) return;
    const none = asyncEventConfiguration.decode(new Uint8Array(4)).bits;
    const wanted = { bits: { ...none, namespaceAttribute, ana, discoveryLog } };
    const cdw11 = dwordOf(asyncEventConfiguration.encode(wanted));
    const set = command("setFeatures", { fid: feature.asyncEventConfiguration, cdw11 });
    try {
      await this.channel.execute(set, options);
    } catch (error) {
      if (!isStatus(error)) throw error;
      const { peer, log } = this.#context;
      log("events-refused", { peer, reason: error.message });
    }
  }

  /**
   * Tells the controller that the host leaves (CC.SHN) and waits until it is ready for that: five
   * seconds in all, from `sinceMs` of the channel's clock on; a late answer ends the channel.
   */
  async shutDown(options: CallOptions = {}, sinceMs = this.channel.nowMs): Promise<void> {
    const timed = (timeoutMs: number): TimedOptions => ({ ...options, timeoutMs });
    const leftMs = () => Math.max(sinceMs + shutdownTimeoutMs - this.channel.nowMs, 1);
    const value = this.#configuration(true, shn.normal);
    await this.#setProperty(property.cc, value, timed(leftMs()));
    await this.#waitFor((status) => status.shst === shst.complete, leftMs(), timed);
  }

  async #enable(options: TimedOptions): Promise<void> {
    this.#cap = decodeProperty(cap, await this.#getProperty(property.cap, options));
    await this.#setProperty(property.cc, this.#configuration(true, shn.none), options);
    const timeoutMs = Math.max(this.#cap.to * 500, 1000);
    await this.#waitFor(
      (status) => status.rdy,
      timeoutMs,
      () => options,
    );
    const raw = await this.identify(cns.controller, 0, options);
    this.#identify = identifyController.decode(raw);
    this.#check(this.#identify);
  }

  /** What a host must not go on without; the same checks as the Linux host's. */
  #check(identify: IdentifyController): void {
    const { cntlid } = this.channel;
    if (identify.cntlid !== cntlid) {
      this.#refuse(`CNTLID ${identify.cntlid} in Identify Controller, ${cntlid} in Connect`);
    }
    if (identify.sgls.support === 0) this.#refuse("no SGL support (SGLS) in Identify Controller");
  }

  #refuse(what: string): never {
    const { peer } = this.#context;
    const message = `Cannot use the controller at ${peer}: it reports ${what}.`;
    throw new InitiatorError("protocol", message, { peer });
  }

  #configuration(en: boolean, notification: number): bigint {
    const { features } = this.cap;
    // Bit 0 of CAP.CSS is the NVM command set; a controller without it offers sets by CC.CSS 110b.
    const css = features.css % 2 === 1 ? 0 : 6;
    const bits = { en, css, mps: features.mpsmin, ams: 0, shn: notification, iosqes: 6, iocqes: 4 };
    return encodeProperty(cc, { bits: { ...bits, crime: false } });
  }

  /** @param timed Options of a command, by the milliseconds that are left. */
  async #waitFor(
    isReached: (status: Csts) => boolean,
    timeoutMs: number,
    timed: (leftMs: number) => TimedOptions,
  ): Promise<void> {
    const { peer } = this.#context;
    const endMs = this.channel.nowMs + timeoutMs;
    for (let leftMs = timeoutMs; ; leftMs = endMs - this.channel.nowMs) {
      const options = timed(Math.max(leftMs, 1));
      const { bits } = decodeProperty(csts, await this.#getProperty(property.csts, options));
      if (isReached(bits)) return;
      if (bits.cfs) {
        const message = `The controller at ${peer} reports a fatal status (CSTS.CFS).`;
        throw new InitiatorError("protocol", message, { peer, csts: bits });
      }
      if (leftMs <= 0) {
        const message = `The controller at ${peer} did not get ready within ${timeoutMs} ms.`;
        throw new InitiatorError("timeout", message, { peer, csts: bits });
      }
      await this.channel.ticked(options);
    }
  }

  async #getProperty(
    { ofst, sizeBytes }: { readonly ofst: number; readonly sizeBytes: number },
    options: TimedOptions,
  ): Promise<bigint> {
    const get = command("propertyGet", { ofst, attrib: { size: sizeBytes === 8 ? 1 : 0 } });
    const { dw0, dw1 } = await this.channel.execute(get, options);
    return u64OfDwords(dw0, sizeBytes === 8 ? dw1 : 0);
  }

  async #setProperty(
    { ofst, sizeBytes }: { readonly ofst: number; readonly sizeBytes: number },
    value: bigint,
    options: TimedOptions,
  ): Promise<void> {
    const attrib = { size: sizeBytes === 8 ? 1 : 0 };
    await this.channel.execute(command("propertySet", { ofst, attrib, value }), options);
  }
}

/** A controller that does not answer says nothing; an error of any other kind is one. */
function unlessRefused(error: unknown): undefined {
  if (isStatus(error)) return undefined;
  throw error;
}
