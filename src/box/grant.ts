/**
 * A grant that is kept alive while it is used, and taken back at the end. It is short, so that what
 * a program leaves behind that was killed is soon gone; it does not hang on the control channel, so
 * that work goes on while that is interrupted.
 */

import type { Clock } from "../initiator/index.ts";
import { type CallParams, type GrantedAccess, type Result, RpcError } from "../rpc/index.ts";

/** Calls a box; a new channel is opened where the last one has ended. */
export interface GrantChannel {
  grant(params: CallParams<"grant">, options: GrantCallOptions): Promise<GrantedAccess>;
  revoke(params: CallParams<"revoke">, options: GrantCallOptions): Promise<Result<"revoke">>;
}

/** @see GrantChannel */
export interface GrantCallOptions {
  readonly signal?: AbortSignal;
}

/** What happened to a grant meanwhile. */
export type GrantEvent =
  | { readonly event: "renewed" }
  /** It is tried again until the grant is over. */
  | { readonly event: "not-renewed"; readonly error: unknown }
  /** The box has other keys now: it was booted again. Connections cannot come back with the old. */
  | { readonly event: "replaced" };

/** What is asked for, and what goes on around it. */
export interface GrantRequest {
  readonly params: Omit<CallParams<"grant">, "seconds" | "untilSessionEnds">;
  readonly clock: Clock;
  readonly onEvent?: (event: GrantEvent) => void;
  /** For asking; the grant outlives it. */
  readonly signal?: AbortSignal;
}

/** How long a grant lasts after the last renewal. */
export const heldGrantSeconds = 120;
/** Between renewals; after one that failed, a quarter of it. */
export const renewalMs = 30_000;
/** At the end a box that does not answer is left to let the grant expire. */
const revokeMs = 5000;

/** A grant; dispose of it to take it back. */
export class HeldGrant implements AsyncDisposable {
  /** What the box gave at first. */
  readonly access: GrantedAccess;
  readonly #channel: GrantChannel;
  readonly #request: GrantRequest;
  readonly #over = new AbortController();
  readonly #renewing: Promise<void>;

  /**
   * Asks for a grant.
   * @throws what the channel throws.
   */
  static async take(channel: GrantChannel, request: GrantRequest): Promise<HeldGrant> {
    const { params, signal } = request;
    const access = await channel.grant(timed(params), signal ? { signal } : {});
    return new HeldGrant(channel, request, access);
  }

  private constructor(channel: GrantChannel, request: GrantRequest, access: GrantedAccess) {
    this.access = access;
    this.#channel = channel;
    this.#request = request;
    this.#renewing = this.#renew();
  }

  async #renew(): Promise<void> {
    const { params, clock, onEvent } = this.#request;
    const { signal } = this.#over;
    let pauseMs = renewalMs;
    while (!signal.aborted) {
      try {
        await clock.sleep(pauseMs, { signal });
        const renewed = await this.#channel.grant(timed(params), { signal });
        pauseMs = renewalMs;
        const isSame = renewed.secrets.host === this.access.secrets.host;
        onEvent?.({ event: isSame ? "renewed" : "replaced" });
      } catch (error) {
        if (signal.aborted) return;
        pauseMs = renewalMs / 4;
        onEvent?.({ event: "not-renewed", error });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    await this.#renewing;
    const enough = new AbortController();
    const revoked = this.#channel
      .revoke({ grant: this.access.grant }, { signal: enough.signal })
      .catch((error: unknown) => {
        if (error instanceof RpcError && error.code === "no-such-grant") return;
        this.#request.onEvent?.({ event: "not-renewed", error });
      })
      .finally(() => enough.abort());
    // Ends early with the answer.
    const late = this.#request.clock.sleep(revokeMs, { signal: enough.signal }).catch(() => {});
    await Promise.race([revoked, late]);
    enough.abort();
  }
}

function timed(params: GrantRequest["params"]): CallParams<"grant"> {
  return { ...params, seconds: heldGrantSeconds };
}
