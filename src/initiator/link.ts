/**
 * The link to a controller over all of its associations: where I/O calls go now, and what becomes
 * of them and of the link when a connection is lost.
 *
 *   linked ──a queue ended──► relinking ──a new association, looked over──► linked
 *      └──without a policy──► ended ◄──given up──┘              (close: from any to ended)
 *
 * A write that was under way on a lost connection is sent again on the new one. A target that had
 * taken all of it may do the first one late: as with the Linux host, nothing in the protocol that
 * targets have prevents that. Callers that write the same range again should flush in between.
 */

import type { CallOptions } from "../block/index.ts";
import type { Association } from "./association.ts";
import type { ControllerEvent } from "./controller-event.ts";
import { InitiatorError } from "./error.ts";
import type { IoCall, IoPath } from "./io-call.ts";
import { waitingMax } from "./queue.ts";
import { delayBefore, isFinal, lostError, type ReconnectPolicy } from "./reconnect.ts";
import { untilAborted } from "./signal.ts";
import type { Clock, InitiatorLog } from "./transport.ts";

/** Where a link stands. */
type LinkState =
  | { readonly name: "linked"; readonly association: Association }
  | { readonly name: "relinking"; readonly next: PromiseWithResolvers<Association> }
  | { readonly name: "ended"; readonly error: InitiatorError };

/** What a link is made with. */
export interface LinkConfig {
  readonly peer: string;
  readonly log: InitiatorLog;
  readonly clock: Clock;
  /** None: the first loss is the end. */
  readonly policy: ReconnectPolicy | undefined;
  /** Opens one association. */
  readonly open: (link: Link, options: CallOptions) => Promise<Association>;
  /** Looks an association over that replaces a lost one; a rejection fails the attempt. */
  readonly lookOver: (association: Association, options: CallOptions) => Promise<void>;
  /** Called before calls go on over a new association. */
  readonly onLinked: (epoch: number) => void;
  readonly emit: (event: ControllerEvent) => void;
}

/** Where a controller does not say how long its paths take to change over. */
const transitionSecondsDefault = 10;
/** What Command Retry Delay Times count in; and no controller is waited for longer. */
const retryUnitMs = 100;
const retryDelayMsMax = 30_000;

/** The link of one controller. */
export class Link implements IoPath {
  readonly peer: string;
  readonly log: InitiatorLog;
  readonly #config: LinkConfig;
  #state: LinkState;
  #epoch = 1;
  readonly #backlog = new Set<IoCall>();
  readonly #stop = new AbortController();
  /** Why a lost connection is not waited for any more. */
  #hopeless: InitiatorError | undefined;
  #relinking: Promise<void> = Promise.resolve();
  /** An association that ended before it was in use. */
  #early: { readonly association: Association; readonly error: InitiatorError } | undefined;

  private constructor(config: LinkConfig) {
    this.#config = config;
    this.peer = config.peer;
    this.log = config.log;
    this.#state = { name: "relinking", next: Promise.withResolvers() };
  }

  /**
   * Opens the first association.
   * @throws What opening it throws.
   */
  static async open(config: LinkConfig, options: CallOptions): Promise<Link> {
    const link = new Link(config);
    const association = await config.open(link, options);
    link.#take(association);
    return link;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get goesOn(): boolean {
    return this.#config.policy !== undefined && this.#state.name !== "ended";
  }

  get transitionMs(): number {
    return (this.current?.admin.controller.anatt || transitionSecondsDefault) * 1000;
  }

  retryDelayMs(crd: number): number {
    const { crdt1 = 0, crdt2 = 0, crdt3 = 0 } = this.current?.admin.controller ?? {};
    return Math.min(([0, crdt1, crdt2, crdt3][crd] ?? 0) * retryUnitMs, retryDelayMsMax);
  }

  async pause(durationMs: number): Promise<void> {
    const { signal } = this.#stop;
    await this.#config.clock.sleep(durationMs, { signal }).catch(() => {});
  }

  /** The association in use, if there is one now. */
  get current(): Association | undefined {
    return this.#state.name === "linked" ? this.#state.association : undefined;
  }

  /**
   * The association in use, or the next one.
   * @throws InitiatorError that ended the link; the signal's reason.
   */
  async association({ signal }: CallOptions = {}): Promise<Association> {
    const state = this.#state;
    if (state.name === "ended") throw state.error;
    if (state.name === "linked") return state.association;
    return untilAborted(state.next.promise, signal);
  }

  submit(call: IoCall): void {
    const state = this.#state;
    if (state.name === "ended") call.reject(state.error);
    else if (state.name === "linked") this.#send(call, state.association);
    else if (this.#backlog.size < waitingMax) this.#backlog.add(call);
    else {
      const what = `Cannot send ${call.command.name} to ${this.peer}`;
      const message = `${what}: too many commands wait for the connection already.`;
      call.reject(new InitiatorError("busy", message, { peer: this.peer }));
    }
  }

  abandon(call: IoCall, released: () => void): void {
    if (this.#backlog.delete(call) || !call.channel) released();
    else if (this.current) this.current.abandon(call.channel, call, released);
    else call.channel.abandon(call, released);
  }

  /** Takes note that `association` ended by itself. */
  onEnded(association: Association, error: InitiatorError): void {
    const { policy, log, emit } = this.#config;
    if (this.#state.name !== "linked" || this.#state.association !== association) {
      this.#early = { association, error };
      return;
    }
    if (!policy || this.#hopeless) {
      this.#end(this.#hopeless ?? error);
      return;
    }
    const next = Promise.withResolvers<Association>();
    // Those who wait for it get the error; where nobody does, it is told by an event.
    next.promise.catch(() => {});
    this.#state = { name: "relinking", next };
    log("controller-disconnected", { peer: this.peer, reason: error.message });
    emit({ type: "disconnected", error });
    // Whoever was told may have ended it.
    if (this.#stop.signal.aborted) return;
    this.#relinking = this.#relink(policy, next, error);
  }

  /** Waits for no lost connection any more, for a reason that was learnt elsewhere. */
  giveUp(error: InitiatorError): void {
    this.#hopeless ??= error;
    if (this.#state.name !== "relinking") return;
    this.#stop.abort();
    this.#end(this.#hopeless);
  }

  /** Ends the link for good; returns the association that is to be closed, if there is one. */
  async close(): Promise<Association | undefined> {
    const { current } = this;
    this.#stop.abort();
    const message = `The controller at ${this.peer} was closed here.`;
    this.#settle(new InitiatorError("closed", message, { peer: this.peer }));
    await this.#relinking;
    return current;
  }

  #send(call: IoCall, association: Association): void {
    const channel = association.leastLoaded;
    if (channel) {
      call.channel = channel;
      call.epoch = this.#epoch;
      channel.submit(call);
      return;
    }
    const message = `${this.peer} has no I/O queues: it is a discovery controller.`;
    call.reject(new InitiatorError("unsupported", message, { peer: this.peer }));
  }

  /** Puts an association in use; calls that waited go on over it, in their order. */
  #take(association: Association): void {
    this.#state = { name: "linked", association };
    const waiting = [...this.#backlog];
    this.#backlog.clear();
    for (const call of waiting) call.resubmit();
    if (this.#early?.association === association) this.onEnded(association, this.#early.error);
  }

  /** @param ended Why the last association ended. */
  async #relink(
    policy: ReconnectPolicy,
    next: PromiseWithResolvers<Association>,
    ended: InitiatorError,
  ): Promise<void> {
    const { clock, emit, log } = this.#config;
    const { signal } = this.#stop;
    const lostAtMs = clock.nowMs();
    let failure: unknown = ended;
    for (let attempt = 1; ; attempt++) {
      const delayMs = delayBefore(attempt, policy);
      const isLate = clock.nowMs() + delayMs - lostAtMs > policy.controllerLossMs;
      if (isLate || (attempt > 1 && isFinal(failure))) {
        this.#end(lostError(this.peer, policy, attempt - 1, failure));
        return;
      }
      log("controller-reconnecting", { peer: this.peer, attempt, delayMs });
      emit({ type: "reconnecting", attempt, delayMs });
      try {
        signal.throwIfAborted();
        await clock.sleep(delayMs, { signal });
        const association = await this.#attempt(signal);
        const downMs = clock.nowMs() - lostAtMs;
        this.#epoch += 1;
        this.#config.onLinked(this.#epoch);
        log("controller-reconnected", { peer: this.peer, attempts: attempt, downMs });
        emit({ type: "reconnected", attempts: attempt, downMs });
        if (signal.aborted) {
          await association.close("the controller was closed meanwhile");
          return;
        }
        next.resolve(association);
        this.#take(association);
        return;
      } catch (error) {
        if (signal.aborted) return;
        failure = error;
      }
    }
  }

  async #attempt(signal: AbortSignal): Promise<Association> {
    const association = await this.#config.open(this, { signal });
    try {
      await this.#config.lookOver(association, { signal });
      signal.throwIfAborted();
      if (this.#early?.association === association) throw this.#early.error;
      return association;
    } catch (error) {
      await association.close("it could not be looked over");
      throw error;
    }
  }

  #end(error: InitiatorError): void {
    const { log, emit } = this.#config;
    if (error.code === "lost") {
      log("controller-lost", { peer: this.peer, reason: error.message });
      emit({ type: "lost", error });
    }
    this.#settle(error);
    log("controller-closed", { peer: this.peer, reason: error.message });
    emit({ type: "closed", error });
  }

  #settle(error: InitiatorError): void {
    const state = this.#state;
    if (state.name === "ended") return;
    this.#state = { name: "ended", error };
    if (state.name === "relinking") {
      state.next.promise.catch(() => {});
      state.next.reject(error);
    }
    const waiting = [...this.#backlog];
    this.#backlog.clear();
    for (const call of waiting) call.reject(error);
  }
}
