/** What a queue is made with, where it stands, and what it tells. The machine is in `queue.ts`. */

import type { Completion, Digests } from "../nvme/index.ts";
import type { Connected, Failure, Negotiated } from "./negotiation.ts";

/** What a queue is connected with. */
export interface QueueConfig {
  /** 0 is the admin queue. */
  readonly qid: number;
  /** Entries of the submission queue (SQSIZE as a count); one less can be under way. */
  readonly entries: number;
  readonly subnqn: string;
  readonly hostnqn: string;
  /** 16 bytes. */
  readonly hostid: Uint8Array;
  /** FFFFh for an admin queue, else the controller that the admin queue got. */
  readonly cntlid: number;
  /** Keep Alive Timeout in milliseconds; 0 for none, and for I/O queues. */
  readonly katoMs: number;
  readonly digests: Digests;
  /** Data up to this length goes with its command. */
  readonly capsuleDataBytesMax: number;
  /** How long ICResp, and then the response to Connect, may take. */
  readonly connectTimeoutMs: number;
}

/** Where a queue stands; each state has what is valid in it. */
export type QueueState =
  | { readonly name: "new" }
  | { readonly name: "initializing"; readonly deadlineMs: number }
  | {
      readonly name: "connecting";
      readonly deadlineMs: number;
      readonly negotiated: Negotiated;
    }
  | { readonly name: "live"; readonly negotiated: Negotiated; readonly connected: Connected }
  | { readonly name: "ended"; readonly failure: Failure };

/** What happened, in the order in which it did. */
export type QueueEvent<R> =
  | { readonly kind: "live"; readonly connected: Connected }
  | { readonly kind: "completed"; readonly request: R; readonly completion: Completion }
  /** The connection is to be closed after what is still to be sent; these requests failed. */
  | { readonly kind: "ended"; readonly failure: Failure; readonly requests: readonly R[] };

/** What the driver has to do. */
export interface QueueEffects<R> {
  readonly send: Uint8Array[];
  readonly events: QueueEvent<R>[];
}
