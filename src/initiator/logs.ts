/** Log pages of a controller, read as values. NVMe Base 2.0 §5.16. */

import type { CallOptions } from "../block/index.ts";
import {
  type AnaGroup,
  type AnaLog,
  anaLogBytesMax,
  type CommandEffect,
  commandsSupportedLog,
  type DiscoveryLogEntry,
  decodeAnaLog,
  type ErrorLogEntry,
  errorLogEntry,
  firmwareSlotLog,
  logPage,
  type SmartLog,
  smartLog,
} from "../nvme/index.ts";
import type { Admin } from "./admin.ts";
import { attemptsMax, readLog } from "./discovery-entry.ts";
import { InitiatorError, isStatus } from "./error.ts";

/** What is read of the page on Asymmetric Namespace Access, whatever a controller claims to have. */
const anaPageBytesMax = 256 * 1024;
/** Change count and number of groups. */
const anaHeaderBytes = 16;

/** Runs something on the admin queue there is, again after a reconnect. */
export type AskAdmin = <T>(work: (admin: Admin) => Promise<T>, options: CallOptions) => Promise<T>;

/** One command that a controller has. */
export interface SupportedCommand {
  readonly opc: number;
  readonly effect: CommandEffect;
}

/** The log pages of one controller; each method throws what `Controller.executeAdmin` throws. */
export class LogPages {
  readonly #peer: string;
  readonly #ask: AskAdmin;

  /** Use `Controller.logs`. */
  constructor(peer: string, ask: AskAdmin) {
    this.#peer = peer;
    this.#ask = ask;
  }

  /** `lengthBytes` (a multiple of 4) of any page from `offsetBytes` on; clears its event. */
  read(
    lid: number,
    lengthBytes: number,
    options: CallOptions & { readonly offsetBytes?: number } = {},
  ): Promise<Uint8Array> {
    const { offsetBytes = 0 } = options;
    return this.#ask((admin) => admin.logPage(lid, offsetBytes, lengthBytes, options), options);
  }

  /** What a discovery service lists; rearms its event. */
  discovery(options: CallOptions = {}): Promise<DiscoveryLogEntry[]> {
    return this.#ask((admin) => readLog(admin, this.#peer, options), options);
  }

  /** How the controller and its media are. */
  async smart(options: CallOptions = {}): Promise<SmartLog> {
    return smartLog.decode(await this.read(logPage.smart, smartLog.size, options));
  }

  /** Errors, the last one first, as many as the controller keeps (ELPE). */
  async errors(options: CallOptions = {}): Promise<ErrorLogEntry[]> {
    const count = await this.#ask(async ({ controller }) => controller.elpe, options);
    const { size } = errorLogEntry;
    const raw = await this.read(logPage.errorInformation, count * size, options);
    const all = Array.from({ length: count }, (_, n) => errorLogEntry.decode(raw, n * size));
    return all.filter(({ errorCount }) => errorCount !== 0n);
  }

  /** Commands that the controller has, and what they do beside their work. */
  async commands(options: CallOptions = {}): Promise<{
    readonly admin: readonly SupportedCommand[];
    readonly io: readonly SupportedCommand[];
  }> {
    const raw = await this.read(logPage.commandsSupported, commandsSupportedLog.size, options);
    const { acs, iocs } = commandsSupportedLog.decode(raw);
    return { admin: supported(acs), io: supported(iocs) };
  }

  /** How this path leads to each group of namespaces, where the controller tells (CMIC, ANACAP). */
  ana(options: CallOptions = {}): Promise<readonly AnaGroup[]> {
    return this.#ask((admin) => readAnaLog(admin, this.#peer, options), options);
  }

  /** Revision of the firmware in each slot, and the number of the slot that runs. */
  async firmware(options: CallOptions = {}): Promise<{
    readonly activeSlot: number;
    readonly revisions: readonly (string | undefined)[];
  }> {
    const raw = await this.read(logPage.firmwareSlot, firmwareSlotLog.size, options);
    const { afi, frs } = firmwareSlotLog.decode(raw);
    return { activeSlot: afi.active, revisions: frs.map((text) => text.trimEnd() || undefined) };
  }
}

/**
 * Reads the page on Asymmetric Namespace Access, again where it changes meanwhile; rearms its event.
 * @throws InitiatorError `protocol` for one that claims more than the controller can have, `busy`
 *   for one that changes all the time.
 */
export async function readAnaLog(
  admin: Admin,
  peer: string,
  options: CallOptions = {},
): Promise<readonly AnaGroup[]> {
  const { nanagrpid, nn, mnan } = admin.controller;
  const namespaces = mnan === 0 ? nn : mnan;
  const lengthBytes = Math.min(anaLogBytesMax(nanagrpid, namespaces), anaPageBytesMax);
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const { log, failure, isChanged } = await readAnaPieces(admin, lengthBytes, options);
    if (isChanged) {
      await admin.channel.ticked(options);
      continue;
    }
    if (failure) throw failure;
    if (log) return log.groups;
    const wanted = `${nanagrpid} groups with ${namespaces} namespaces, or ${anaPageBytesMax} bytes`;
    const message = `The ANA log of ${peer} is longer than ${wanted}.`;
    throw new InitiatorError("protocol", message, { peer, nanagrpid, namespaces });
  }
  const message = `The ANA log of ${peer} changed during each of ${attemptsMax} readings.`;
  throw new InitiatorError("busy", message, { peer });
}

/**
 * Reads up to `lengthBytes` in pieces, as long as the page claims more: there are controllers that
 * refuse to read on from its end.
 */
async function readAnaPieces(
  admin: Admin,
  lengthBytes: number,
  options: CallOptions,
): Promise<{ log?: AnaLog | undefined; failure?: InitiatorError; isChanged: boolean }> {
  const { logPieceBytes: pieceBytes } = admin;
  const retainEvent = pieceBytes < lengthBytes;
  const page = new Uint8Array(lengthBytes);
  let log: AnaLog | undefined;
  let failure: InitiatorError | undefined;
  for (let at = 0; at < lengthBytes && !log && !failure; at += pieceBytes) {
    const length = Math.min(pieceBytes, lengthBytes - at);
    try {
      page.set(await admin.logPage(logPage.ana, at, length, { ...options, retainEvent }), at);
      log = decodeAnaLog(page.subarray(0, at + length));
    } catch (error) {
      // The page may have become shorter since it began to be read.
      if (at === 0 || !isStatus(error)) throw error;
      failure = error;
    }
  }
  if (!retainEvent) return { log, isChanged: false };
  const header = await admin.logPage(logPage.ana, 0, anaHeaderBytes, options);
  const isChanged = Buffer.compare(header, page.subarray(0, anaHeaderBytes)) !== 0;
  return { log, isChanged, ...(failure ? { failure } : {}) };
}

function supported(effects: readonly CommandEffect[]): SupportedCommand[] {
  return effects.map((effect, opc) => ({ opc, effect })).filter(({ effect }) => effect.csupp);
}
