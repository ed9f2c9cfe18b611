/** What a controller reports by itself. */

import type { AnaGroup } from "../nvme/index.ts";
import type { InitiatorError } from "./error.ts";

/** One thing that happened to a controller or its namespaces. */
export type ControllerEvent =
  /** Namespaces came, went or changed; `undefined` where there are too many to name. */
  | { readonly type: "namespaces-changed"; readonly nsids: readonly number[] | undefined }
  /** The namespace of an open disk has another size. */
  | { readonly type: "namespace-resized"; readonly nsid: number; readonly sizeBytes: number }
  /** An open disk cannot be used: its namespace is not there, or not told of, or another one is. */
  | { readonly type: "namespace-lost"; readonly nsid: number; readonly error: InitiatorError }
  /** The namespace of a disk that could not be used is there again. */
  | { readonly type: "namespace-back"; readonly nsid: number }
  | { readonly type: "discovery-changed" }
  /** How the path to this controller leads to groups of namespaces (ANA). */
  | { readonly type: "ana-changed"; readonly groups: readonly AnaGroup[] }
  /** Any other asynchronous event: type, information, log page. */
  | { readonly type: "other"; readonly aet: number; readonly info: number; readonly lid: number }
  /** A connection was lost; what is under way waits. */
  | { readonly type: "disconnected"; readonly error: InitiatorError }
  /** Attempt `attempt`, from 1 on, begins in `delayMs`. */
  | { readonly type: "reconnecting"; readonly attempt: number; readonly delayMs: number }
  | { readonly type: "reconnected"; readonly attempts: number; readonly downMs: number }
  /** Reconnecting was given up; `closed` follows. */
  | { readonly type: "lost"; readonly error: InitiatorError }
  /** The controller is gone; nothing follows. */
  | { readonly type: "closed"; readonly error: InitiatorError };
