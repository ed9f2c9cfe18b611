/** How a command is answered: a status, two dwords, and data for commands that read. */

import {
  type Command,
  connectRefusal,
  dwordOf,
  encodeStatus,
  refusal,
  type StatusName,
} from "../nvme/index.ts";

/** Where in a command the error is, for the Error Information log. */
export interface ParameterLocation {
  /** Byte in the 64 of the command. */
  readonly byte: number;
  readonly bit: number;
}

/** What a command is answered with. */
export interface Answer {
  /** The status field's 16 bits; 0 is success. */
  readonly status: number;
  readonly dw0: number;
  readonly dw1: number;
  /** For commands that read; sent before the completion. */
  readonly data?: Uint8Array;
  readonly location?: ParameterLocation;
  /** Block that the error is at. */
  readonly lba?: number;
}

/** A command as a handler sees it. */
export interface Call<C = Command> {
  readonly cid: number;
  readonly command: C;
  /** Data of the host; empty for commands that write nothing. Valid until the answer is there. */
  readonly data: Uint8Array;
  /** Data length that the host described, either way. */
  readonly lengthBytes: number;
  /** Aborted when the command is, or its connection ends. */
  readonly signal: AbortSignal;
}

const plainSuccess: Answer = { status: 0, dw0: 0, dw1: 0 };

/** Success without data. */
export function success(dw0 = 0, dw1 = 0): Answer {
  return dw0 === 0 && dw1 === 0 ? plainSuccess : { status: 0, dw0, dw1 };
}

/** Success with data. */
export function successWith(data: Uint8Array): Answer {
  return { status: 0, dw0: 0, dw1: 0, data };
}

/** The 16 bits of a refusal, DNR set where the same command would fail again. */
export function statusBits(name: StatusName): number {
  let bits = statusCache.get(name);
  if (bits === undefined) {
    bits = encodeStatus(refusal(name));
    statusCache.set(name, bits);
  }
  return bits;
}

const statusCache = new Map<StatusName, number>();

/** A refusal; `byte` and `bit` say where in the command the reason is. */
export function failure(name: StatusName, byte?: number, bit = 0): Answer {
  const status = statusBits(name);
  return byte === undefined
    ? { status, dw0: 0, dw1: 0 }
    : { status, dw0: 0, dw1: 0, location: { byte, bit } };
}

/** A Connect refused for a field: at byte `ipo` of the command, or of its data. */
export function connectFailure(ipo: number, inData: boolean): Answer {
  const dw0 = dwordOf(connectRefusal.encode({ ipo, iattr: { inData } }));
  return { status: statusBits("connectInvalidParameters"), dw0, dw1: 0 };
}
