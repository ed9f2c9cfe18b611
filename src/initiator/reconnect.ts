/** When a lost controller is tried again, and when it is given up. */

import { InitiatorError } from "./error.ts";

/** How a lost controller is waited for. */
export interface ReconnectOptions {
  /** Wait before the first attempt, doubled for each one after it; 200 ms unless given. */
  readonly firstDelayMs?: number;
  /** Longest wait between two attempts; 10 s unless given, as in Linux. */
  readonly delayMsMax?: number;
  /**
   * Up to this share of each wait is left out at random, so that the hosts of a target that was
   * restarted do not all come back at the same moment; 0.25 unless given, 0 for none.
   */
  readonly jitter?: number;
  /** No attempt begins later than this after the loss; 600 s unless given, as in Linux. */
  readonly controllerLossMs?: number;
  /** Numbers from 0 to below 1 that the jitter is taken from; `Math.random` unless given. */
  readonly random?: () => number;
}

/** The same, filled up. */
export type ReconnectPolicy = Required<ReconnectOptions>;

/** The policy of some options. */
export function reconnectPolicy(options: ReconnectOptions): ReconnectPolicy {
  return {
    firstDelayMs: options.firstDelayMs ?? 200,
    delayMsMax: options.delayMsMax ?? 10_000,
    jitter: options.jitter ?? 0.25,
    controllerLossMs: options.controllerLossMs ?? 600_000,
    random: options.random ?? Math.random,
  };
}

/** How long to wait before attempt `attempt`, which counts from 1; whole milliseconds. */
export function delayBefore(attempt: number, policy: ReconnectPolicy): number {
  const longestMs = Math.min(policy.firstDelayMs * 2 ** (attempt - 1), policy.delayMsMax);
  return Math.round(longestMs * (1 - policy.jitter * policy.random()));
}

const finalCodes: ReadonlySet<unknown> = new Set(["unsupported", "authentication-failed"]);

/**
 * True for a failure that no later attempt can change: the host is not allowed or has no valid key.
 * A subsystem that is not there is no such failure: a target that restarts brings its subsystems up
 * one after another, and refuses the missing ones in the meantime with "do not retry".
 */
export function isFinal(error: unknown): boolean {
  if (!(error instanceof InitiatorError)) return true;
  // A connection that ends while it is authenticated does so for a wrong secret or a restart.
  if (finalCodes.has(error.code)) return error.facts.endedBy === undefined;
  return error.facts.statusName === "connectInvalidHost" && error.facts.status?.dnr === true;
}

/**
 * The error of a controller that was given up.
 * @param cause Why the last attempt failed; where there was none, why the connection ended.
 */
export function lostError(
  peer: string,
  policy: ReconnectPolicy,
  attempts: number,
  cause: unknown,
): InitiatorError {
  const last = cause instanceof Error ? cause.message : String(cause);
  const why = whyLost(policy, attempts, cause, last);
  const next = "Connect anew once it is back.";
  return new InitiatorError(
    "lost",
    `The controller at ${peer} is lost: ${why} ${next}`,
    { peer, attempts },
    { cause },
  );
}

function whyLost(
  { controllerLossMs }: ReconnectPolicy,
  attempts: number,
  cause: unknown,
  last: string,
): string {
  if (attempts === 0)
    return `no attempt was made within ${controllerLossMs} ms after this: ${last}`;
  if (isFinal(cause)) return `it was refused for good: ${last}`;
  return `${attempts} attempts within ${controllerLossMs} ms failed, the last one: ${last}`;
}
