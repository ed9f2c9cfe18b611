/** What the connections of a target share. */

import type { CommandOf } from "../nvme/index.ts";
import type { Answer, Call } from "./answer.ts";
import type { TargetConnection } from "./connection.ts";
import type { Controller } from "./controller.ts";
import type { TargetLimits } from "./limits.ts";
import type { BufferPool, ByteBudget } from "./pool.ts";
import type { TargetLog } from "./transport.ts";

/** When a read ends with the SUCCESS flag of its last C2HData, without a response of its own. */
export type SuccessPolicy =
  /** When the host switched submission queue flow control off, as Linux's target does. */
  | "without-flow-control"
  /** Always: saves a header per read, and fails with hosts that wait for a response. */
  | "always";

/** The target as its connections see it. */
export interface Services {
  readonly limits: TargetLimits;
  readonly pool: BufferPool;
  readonly budget: ByteBudget;
  readonly log: TargetLog;
  readonly successPolicy: SuccessPolicy;
  readonly startedMs: number;
  /** Makes or finds the controller that a Connect is for, and attaches the connection to it. */
  connect(connection: TargetConnection, call: Call<CommandOf<"connect">>): Promise<Answer>;
  /** The Discovery log page as a host sees it on a connection. */
  discoveryLog(connection: TargetConnection, controller: Controller): Uint8Array;
  /** A connection is over; called once. */
  ended(connection: TargetConnection): void;
  /** A connection has become more than half open. */
  completed(connection: TargetConnection): void;
}
