/** The channel of a grant that is held for long: over a session, and a new one when that has ended. */

import type { CallParams, GrantedAccess, GrantView, Item, Result } from "../rpc/index.ts";
import { type BoxSession, openSession, type ReachOptions } from "./driver-session.ts";
import type { GrantCallOptions, GrantChannel } from "./grant.ts";

/** Calls a box over the session that it was given, or another one to the same place. */
export class LastingChannel implements GrantChannel, AsyncDisposable {
  readonly #options: ReachOptions;
  readonly #first: BoxSession;
  readonly #listeners = new Set<() => void>();
  #session: Promise<BoxSession>;
  #bootedAt: string;
  #isOpen = true;

  /** @param session is the channel's from now on. */
  constructor(session: BoxSession, options: ReachOptions) {
    this.#options = options;
    this.#first = session;
    this.#bootedAt = session.description.bootedAt;
    this.#session = Promise.resolve(session);
    this.#watch(session);
  }

  get bootedAt(): string {
    return this.#bootedAt;
  }

  onEnded(listener: () => void): void {
    this.#listeners.add(listener);
  }

  async grant(params: CallParams<"grant">, options: GrantCallOptions): Promise<GrantedAccess> {
    const session = await this.#open(options);
    return await session.call("grant", params, options);
  }

  async revoke(params: CallParams<"revoke">, options: GrantCallOptions): Promise<Result<"revoke">> {
    const session = await this.#open(options);
    return await session.call("revoke", params, options);
  }

  async grants(options: GrantCallOptions): Promise<readonly GrantView[]> {
    const session = await this.#open(options);
    return (await session.call("disks", {}, options)).grants;
  }

  /** Lets the box hash a disk; items come to `onItem` in their order. */
  async hash(
    params: Omit<CallParams<"hash">, "stream">,
    onItem: (item: Item<"hash">) => void,
    options: GrantCallOptions,
  ): Promise<Result<"hash">> {
    const session = await this.#open(options);
    return await session.stream("hash", params, onItem, options);
  }

  async #open({ signal }: GrantCallOptions): Promise<BoxSession> {
    if (this.#isOpen) return await this.#session;
    this.#isOpen = true;
    const { signal: _outer, ...options } = this.#options;
    this.#session = openSession(this.#first.place, signal ? { ...options, signal } : options);
    try {
      const session = await this.#session;
      this.#bootedAt = session.description.bootedAt;
      this.#watch(session);
      return session;
    } catch (error) {
      this.#isOpen = false;
      throw error;
    }
  }

  #watch(session: BoxSession): void {
    session.ended.catch(() => {
      this.#isOpen = false;
      for (const listener of this.#listeners) listener();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    const session = await this.#session.catch(() => null);
    await session?.[Symbol.asyncDispose]();
  }
}
