/** Takes grants back when their time is up, and keeps what must outlive the daemon. */
import { type DiskChoices, rememberChoices } from "./disk-choices.ts";
import type { Grants } from "./grants.ts";
import type { DaemonSetup, World } from "./world.ts";

/** The longest that a timer of Node waits. */
const timerMsMax = 2 ** 31 - 1;

type Kept = Pick<DaemonSetup, "grants" | "choices">;

/** The time of the grants. */
export class GrantClock {
  readonly #grants: Grants;
  readonly #world: World;
  readonly #choices: DiskChoices;
  readonly #wake: () => void;
  #saved: string;
  #savedChoices: string;
  #timer: NodeJS.Timeout | undefined;

  /** @param wake is called when the next grant is over */
  constructor({ grants, choices }: Kept, world: World, wake: () => void) {
    this.#grants = grants;
    this.#choices = choices;
    this.#savedChoices = JSON.stringify(rememberChoices(choices));
    this.#world = world;
    this.#wake = wake;
    this.#saved = JSON.stringify(grants.memory);
  }

  /** Takes back what is over, saves what has changed, and waits for the next. */
  tick(): void {
    const now = this.#world.monotonicMs();
    for (const { id, hostnqn } of this.#grants.expire(now)) {
      this.#world.log("expired", { grant: id, host: hostnqn });
    }
    const { memory, nextExpiryMs } = this.#grants;
    const text = JSON.stringify(memory);
    if (text !== this.#saved) {
      this.#saved = text;
      this.#world.saveGrants(memory);
    }
    this.#saveChoices();
    this.stop();
    if (nextExpiryMs === null) return;
    this.#timer = setTimeout(this.#wake, Math.min(timerMsMax, Math.max(0, nextExpiryMs - now)));
  }

  #saveChoices(): void {
    const memory = rememberChoices(this.#choices);
    const text = JSON.stringify(memory);
    if (text === this.#savedChoices) return;
    this.#savedChoices = text;
    this.#world.saveChoices(memory);
  }

  /** Waits no longer. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}
