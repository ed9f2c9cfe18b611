/** The Error Information log of a controller: the newest errors first. NVMe Base 2.0 §5.16.1.2. */

import { type ErrorLogEntry, errorLogEntry, noParameter } from "../nvme/index.ts";
import type { ParameterLocation } from "./answer.ts";
import { errorLogEntriesMax } from "./limits.ts";

/** One error as the log takes it. */
export interface LoggedError {
  readonly sqid: number;
  readonly cid: number;
  readonly status: number;
  readonly opc: number;
  readonly nsid: number;
  readonly lba?: number | undefined;
  readonly location?: ParameterLocation | undefined;
}

const tcp = 3;

/** A ring of errors. */
export class ErrorLog {
  readonly #entries: ErrorLogEntry[] = [];
  #count = 0n;

  /** Errors since the controller was made; SMART reports it. */
  get count(): bigint {
    return this.#count;
  }

  /** Adds an error; the oldest goes when the log is full. */
  add(error: LoggedError): void {
    this.#count++;
    this.#entries.unshift({
      errorCount: this.#count,
      sqid: error.sqid,
      cid: error.cid,
      status: error.status,
      parameterError: error.location ?? noParameter,
      lba: BigInt(error.lba ?? 0),
      nsid: error.nsid,
      vs: 0,
      trtype: tcp,
      csi: 0,
      opc: error.opc,
      csinfo: 0n,
      ttsi: 0,
    });
    if (this.#entries.length > errorLogEntriesMax) this.#entries.pop();
  }

  /** The whole page: entries that are not used are zero. */
  encode(): Uint8Array {
    const raw = new Uint8Array(errorLogEntriesMax * errorLogEntry.size);
    this.#entries.forEach((entry, index) => {
      errorLogEntry.encodeInto(entry, raw, index * errorLogEntry.size);
    });
    return raw;
  }
}
