/** What has happened on the box, for those who ask and those who watch. */
import type { BoxEvent } from "../rpc/index.ts";
import type { LogEvent, LogFields } from "./log.ts";

/** Events that are remembered. */
const eventsMax = 500;

/** The newest events, and who is told of the next. */
export class EventList {
  readonly #events: BoxEvent[] = [];
  readonly #watchers = new Set<(event: BoxEvent) => void>();
  #last = 0;

  /** Notes an event and tells those who watch. */
  add(event: LogEvent | "state", fields: LogFields, at: Date): void {
    this.#last += 1;
    const noted = { number: this.#last, at: at.toISOString(), event, fields: { ...fields } };
    // A change of state is told and not kept: what it was is asked for with `describe`.
    if (event !== "state") {
      this.#events.push(noted);
      this.#events.splice(0, Math.max(0, this.#events.length - eventsMax));
    }
    for (const tell of this.#watchers) tell(noted);
  }

  /** Those after the one of that number, oldest first. */
  after(number: number): readonly BoxEvent[] {
    return this.#events.filter((event) => event.number > number);
  }

  /** Calls `tell` with each event from now on, until the returned function is called. */
  watch(tell: (event: BoxEvent) => void): () => void {
    this.#watchers.add(tell);
    return () => {
      this.#watchers.delete(tell);
    };
  }
}
