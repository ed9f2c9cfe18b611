/**
 * One command under way, and the rules for its data: where it lies, in which order it comes, when
 * it is complete. NVM Express TCP Transport 1.0 §3.5 (data transfers).
 *
 * Strict where a lapse would lose data in silence: pieces come in sequence without gaps, and a
 * success is believed only when every byte was moved.
 */

import {
  type Command,
  encodeStatus,
  type Pdu,
  type PduFault,
  pduFault,
  statusOf,
} from "../nvme/index.ts";

/** The data of a command, in a buffer of the caller. */
export type Transfer =
  | { readonly kind: "none" }
  /**
   * The controller fills all of `target`; where it may be short, as much from its start as there
   * is: SPDK's target sends no more of a message or page than it has.
   */
  | { readonly kind: "in"; readonly target: Uint8Array; readonly mayBeShort?: true }
  /** The controller takes all of `data`. */
  | { readonly kind: "out"; readonly data: Uint8Array };

/** Length of the data that a command moves. */
export function transferBytes(transfer: Transfer): number {
  if (transfer.kind === "none") return 0;
  return transfer.kind === "in" ? transfer.target.length : transfer.data.length;
}

/** What a queue is asked to do. */
export interface QueueRequest {
  readonly command: Command;
  readonly transfer: Transfer;
  /** How long its answer may take; Infinity for one that waits for an event. */
  readonly timeoutMs: number;
}

/** A command that was sent and not yet answered. */
export interface InFlight<R extends QueueRequest> {
  readonly cid: number;
  readonly request: R;
  readonly deadlineMs: number;
  /** Data to send; replaced by a copy when the caller no longer waits. */
  data: Uint8Array;
  /** Bytes received, or handed to the socket. */
  movedBytes: number;
  /** What the controller asked for and has not been sent: the one R2T being served. */
  owed: { readonly ttag: number; endBytes: number } | undefined;
  /** C2HData with LAST was seen; nothing may follow but the response. */
  sawLast: boolean;
  /** A data digest did not match; the command fails whatever its response says. */
  isDamaged: boolean;
  /** Nobody waits for it any more; its bytes are dropped, its cid is still taken. */
  isAbandoned: boolean;
}

const empty = new Uint8Array(0);

/** Makes the entry of a command that is about to be sent. */
export function startTransfer<R extends QueueRequest>(
  cid: number,
  request: R,
  nowMs: number,
): InFlight<R> {
  return {
    cid,
    request,
    deadlineMs: nowMs + request.timeoutMs,
    data: request.transfer.kind === "out" ? request.transfer.data : empty,
    movedBytes: 0,
    owed: undefined,
    sawLast: false,
    isDamaged: false,
    isAbandoned: false,
  };
}

/** Checks a C2HData header against its command. */
export function acceptC2hData(
  entry: InFlight<QueueRequest>,
  pdu: Pdu & { type: "C2HData" | "H2CData" },
): PduFault | undefined {
  const { transfer } = entry.request;
  if (transfer.kind !== "in") {
    return pduFault("direction", `C2HData for a ${entry.request.command.name} command`, 8);
  }
  if (entry.sawLast) return pduFault("sequence", "C2HData after the last one of its command");
  const end = pdu.datao + pdu.dataLength;
  const wanted = transfer.target.length;
  if (pdu.datao !== entry.movedBytes || end > wanted) {
    const found = `${pdu.datao} to ${end}`;
    return pduFault("range", `C2HData ${found}, wanted ${entry.movedBytes} to ${wanted}`);
  }
  if (pdu.success && !pdu.last) return pduFault("flags", "C2HData with SUCCESS without LAST", 1);
  if (pdu.success && end !== wanted && !transfer.mayBeShort) {
    return pduFault("range", `success after ${end} of ${wanted} bytes`);
  }
  entry.sawLast = pdu.last;
  return undefined;
}

/** Checks an R2T against its command and notes what is owed. */
export function acceptR2t(
  entry: InFlight<QueueRequest>,
  pdu: Pdu & { type: "R2T" },
): PduFault | undefined {
  if (entry.request.transfer.kind !== "out") {
    return pduFault("direction", `R2T for a ${entry.request.command.name} command`, 8);
  }
  if (entry.owed) return pduFault("limit", "a second R2T while the first is being served");
  if (pdu.r2tl === 0) return pduFault("datal", "R2T for no data", 16);
  const endBytes = pdu.r2to + pdu.r2tl;
  if (pdu.r2to !== entry.movedBytes || endBytes > entry.data.length) {
    const found = `${pdu.r2to} to ${endBytes}`;
    const wanted = `${entry.movedBytes} to ${entry.data.length}`;
    return pduFault("range", `R2T ${found}, wanted within ${wanted}`);
  }
  entry.owed = { ttag: pdu.ttag, endBytes };
  return undefined;
}

/** Checks a response: a success counts only when all of the data was moved. */
export function acceptCompletion(
  entry: InFlight<QueueRequest>,
  status: number,
): PduFault | undefined {
  const { transfer } = entry.request;
  if (status !== 0 || transfer.kind === "none") return undefined;
  if (transfer.kind === "in" && transfer.mayBeShort) return undefined;
  const wanted = transfer.kind === "in" ? transfer.target.length : entry.data.length;
  if (entry.movedBytes === wanted) return undefined;
  const { name } = entry.request.command;
  return pduFault("sequence", `${name} succeeded after ${entry.movedBytes} of ${wanted} bytes`);
}

/** The status that a command ends with: damaged data outweighs a success. */
export function finalStatus(entry: InFlight<QueueRequest>, status: number): number {
  return entry.isDamaged && status === 0 ? encodeStatus(statusOf("transientTransport")) : status;
}

/**
 * Lets go of the caller's buffer: what a read still brings is dropped, and what a write still owes
 * comes from a copy, since the controller may ask for it.
 */
export function abandonTransfer(entry: InFlight<QueueRequest>): void {
  entry.isAbandoned = true;
  // Not slice(): of a Buffer that is a view.
  if (entry.movedBytes < entry.data.length) entry.data = Uint8Array.from(entry.data);
}
