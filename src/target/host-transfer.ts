/**
 * Data that comes from the host, for one command: in its capsule, or asked for by an R2T.
 *
 *   asked ──memory──► R2T sent ──H2CData, in order──► whole
 *   in capsule ───────────────────────────────────────► whole
 *
 * Transfers are found by their tag (TTAG), which is this side's alone; a tag that is none, data
 * out of order or beyond what was asked for ends the connection. TCP Transport 1.0 §3.4 and §3.6.
 */

import { type PduFault, pduFault } from "../nvme/index.ts";
import type { Pending } from "./data-path.ts";
import type { HostData } from "./receiver.ts";

/** Data of one command, on its way. */
export class HostTransfer<J> implements Pending {
  readonly cid: number;
  readonly nsid: number;
  readonly lengthBytes: number;
  /** What is to be done with it. */
  readonly job: J;
  /** Where it is collected; undefined before its first byte. */
  buffer: Uint8Array | undefined;
  ttag: number | undefined;
  receivedBytes = 0;
  isDamaged = false;
  isAborted = false;
  /** It is not asked for yet, since there is no memory for it. */
  isWaiting = false;

  constructor(cid: number, nsid: number, lengthBytes: number, job: J) {
    this.cid = cid;
    this.nsid = nsid;
    this.lengthBytes = lengthBytes;
    this.job = job;
  }

  /** At once while it waits for memory; data that was asked for has to come first. */
  abort(): boolean {
    const isAtOnce = this.isWaiting && !this.isAborted;
    this.isAborted = true;
    return isAtOnce;
  }
}

/** Tags of one connection: as many as commands can be under way. */
export class TransferTags<J> {
  readonly #transfers: (HostTransfer<J> | undefined)[] = [];
  readonly #free: number[] = [];

  /** Tags that are in use. */
  get size(): number {
    return this.#transfers.length - this.#free.length;
  }

  /** Gives a transfer its tag. */
  add(transfer: HostTransfer<J>): number {
    const ttag = this.#free.pop() ?? this.#transfers.length;
    this.#transfers[ttag] = transfer;
    return ttag;
  }

  remove(ttag: number): void {
    this.#transfers[ttag] = undefined;
    this.#free.push(ttag);
  }

  /** All transfers, and no more tags. */
  clear(): HostTransfer<J>[] {
    const left = this.#transfers.filter((transfer) => transfer !== undefined);
    this.#transfers.length = 0;
    this.#free.length = 0;
    return left;
  }

  /** The transfer that an H2CData continues, or what is wrong with it. */
  accept(pdu: HostData): HostTransfer<J> | PduFault {
    const transfer = this.#transfers[pdu.ttag];
    if (!transfer) return pduFault("ttag", `H2CData with TTAG ${pdu.ttag}, which is none`, 10);
    if (transfer.cid !== pdu.cccid) {
      const detail = `H2CData with CCCID ${pdu.cccid}, but TTAG ${pdu.ttag} is of ${transfer.cid}`;
      return pduFault("cccid", detail, 8);
    }
    if (pdu.datao !== transfer.receivedBytes) {
      const detail = `H2CData at ${pdu.datao}, wanted ${transfer.receivedBytes}`;
      return pduFault("range", detail);
    }
    const end = pdu.datao + pdu.dataLength;
    if (end > transfer.lengthBytes) {
      return pduFault("range", `H2CData up to ${end}, asked for ${transfer.lengthBytes}`);
    }
    if (pdu.last !== (end === transfer.lengthBytes)) {
      return pduFault("flags", `H2CData up to ${end} with LAST_PDU ${pdu.last}`, 1);
    }
    return transfer;
  }
}
