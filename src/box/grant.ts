/**
 * A grant that is kept alive while it is used, and taken back at the end. It ends shortly after the
 * control channel does, so that what a program leaves behind that was killed is soon gone; it is asked
 * for again at once over a new channel, so that work goes on where only the channel was interrupted.
 */

import type { Clock } from "../initiator/index.ts";
import {
  type CallParams,
  type GrantedAccess,
  type GrantView,
  type Result,
  RpcError,
} from "../rpc/index.ts";

/** Calls a box; a new channel is opened where the last one has ended. */
export interface GrantChannel {
  grant(params: CallParams<"grant">, options: GrantCallOptions): Promise<GrantedAccess>;
  revoke(params: CallParams<"revoke">, options: GrantCallOptions): Promise<Result<"revoke">>;
  /** All grants of the box. */
  grants(options: GrantCallOptions): Promise<readonly GrantView[]>;
  /** When the box was booted that answered last; ISO 8601. */
  readonly bootedAt: string;
  /** Calls `listener` whenever a channel has ended, which the grant outlives by seconds only. */
  onEnded(listener: () => void): void;
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
  /**
   * The box has other keys now: it was booted again, or the grant had ended while the box was out of
   * reach. Connections cannot come back with the old ones.
   */
  | { readonly event: "replaced"; readonly isRebooted: boolean };

/** What is asked for, and what goes on around it. */
export interface GrantRequest {
  readonly params: Omit<CallParams<"grant">, "seconds" | "untilSessionEnds">;
  readonly clock: Clock;
  readonly onEvent?: (event: GrantEvent) => void;
  /** For asking; the grant outlives it. */
  readonly signal?: AbortSignal;
}

/** How long a grant lasts after the last renewal, where its end of the channel was not heard of. */
export const heldGrantSeconds = 120;
/** Between renewals. */
export const renewalMs = 30_000;
/** After one that failed: several fit into what a box leaves a grant whose session has ended. */
export const retryMs = 2000;
/** Asking whether the grant has gone on, a channel that has just ended among them. */
const confirmTriesMax = 5;
/** The clock of a box may be set while it runs; two boots are further apart. */
const sameBootMs = 5000;
/** At the end a box that does not answer is left to let the grant expire. */
const revokeMs = 5000;

/** A grant; dispose of it to take it back. */
export class HeldGrant implements AsyncDisposable {
  /** What the box gave at first. */
  readonly access: GrantedAccess;
  readonly #channel: GrantChannel;
  readonly #request: GrantRequest;
  readonly #over = new AbortController();
  readonly #bootedAt: string;
  readonly #renewing: Promise<void>;
  #hurry = new AbortController();

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
    this.#bootedAt = channel.bootedAt;
    channel.onEnded(() => this.#hurry.abort());
    this.#renewing = this.#renew();
  }

  async #renew(): Promise<void> {
    const { params, onEvent } = this.#request;
    const { signal } = this.#over;
    let pauseMs = renewalMs;
    while (!signal.aborted) {
      try {
        await this.#pause(pauseMs);
        signal.throwIfAborted();
        const renewed = await this.#channel.grant(timed(params), { signal });
        pauseMs = renewalMs;
        const isSame = this.#isSame(renewed);
        const isRebooted = !isSameBoot(this.#bootedAt, this.#channel.bootedAt);
        onEvent?.(isSame ? { event: "renewed" } : { event: "replaced", isRebooted });
      } catch (error) {
        if (signal.aborted) return;
        pauseMs = retryMs;
        onEvent?.({ event: "not-renewed", error });
      }
    }
  }

  /** A grant that was over in between has another id, and mostly other secrets. */
  #isSame({ grant, secrets }: GrantedAccess): boolean {
    return grant === this.access.grant && secrets.host === this.access.secrets.host;
  }

  /**
   * Asks the box whether the grant has gone on all the time, and whether another host may write to the
   * same disks.
   * @returns what speaks against this host having been alone, in words
   * @throws what the channel throws, when it has failed several times.
   */
  async findRival(options: GrantCallOptions = {}): Promise<string | undefined> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#lookForRival(options);
      } catch (error) {
        if (error instanceof RpcError && error.code === "refused")
          return withoutStop(error.message);
        if (options.signal?.aborted || tries === confirmTriesMax) throw error;
        await this.#request.clock.sleep(retryMs, options);
      }
    }
  }

  async #lookForRival(options: GrantCallOptions): Promise<string | undefined> {
    const renewed = await this.#channel.grant(timed(this.#request.params), options);
    if (!this.#isSame(renewed)) return "its box had taken back meanwhile what it had granted";
    const grants = await this.#channel.grants(options);
    const disks = grants.find(({ grant }) => grant === renewed.grant)?.disks ?? [];
    const rival = grants.find(
      ({ grant, mode, disks: others }) =>
        grant !== renewed.grant && mode === "rw" && others.some((disk) => disks.includes(disk)),
    );
    return rival && `${rival.purpose || rival.hostnqn} may write to it, too`;
  }

  /** Waits, unless a channel has ended meanwhile. */
  async #pause(pauseMs: number): Promise<void> {
    const hurry = this.#hurry.signal;
    const signal = AbortSignal.any([this.#over.signal, hurry]);
    try {
      if (!signal.aborted) await this.#request.clock.sleep(pauseMs, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    if (hurry.aborted) this.#hurry = new AbortController();
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

function withoutStop(sentence: string): string {
  return sentence.replace(/\.$/, "");
}

function timed(params: GrantRequest["params"]): CallParams<"grant"> {
  return { ...params, seconds: heldGrantSeconds, untilSessionEnds: true };
}

function isSameBoot(one: string, other: string): boolean {
  return Math.abs(Date.parse(one) - Date.parse(other)) < sameBootMs;
}
