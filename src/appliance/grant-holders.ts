/** Which session each grant hangs on that was asked for until its session ends. */

/** The session that asked last is the one that counts. */
export class GrantHolders {
  readonly #holders = new Map<string, AbortSignal>();
  readonly #orphaned: (grant: string) => void;

  /** @param orphaned is called with each grant whose session has ended */
  constructor(orphaned: (grant: string) => void) {
    this.#orphaned = orphaned;
  }

  /**
   * Hangs a grant on a session, and on no other one any more.
   * @param session aborted when it ends; null for a grant that stays
   */
  hold(grant: string, session: AbortSignal | null): void {
    if (this.#holders.get(grant) === session) return;
    this.#holders.delete(grant);
    if (session === null) return;
    this.#holders.set(grant, session);
    const end = (): void => {
      if (this.#holders.get(grant) !== session) return;
      this.#holders.delete(grant);
      this.#orphaned(grant);
    };
    if (session.aborted) end();
    else session.addEventListener("abort", end, { once: true });
  }
}
