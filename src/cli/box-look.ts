/** Looking at all boxes at once: who is there, what they have, and why not. */

import {
  BoxError,
  type BoxErrorCode,
  type BoxSession,
  findAll,
  type Home,
  openSession,
  type Place,
  type Sighting,
  strangerError,
} from "../box/index.ts";
import type { BoxDescription, DiskView, GrantView, PeerView, RunReport } from "../rpc/index.ts";

/** A box as it was found. */
export type BoxLook = {
  readonly name: string;
  readonly address: string;
  readonly from: Place["from"];
} & (
  | {
      readonly kind: "open";
      readonly description: BoxDescription;
      readonly disks: readonly DiskView[];
      readonly grants: readonly GrantView[];
      readonly peers: readonly PeerView[];
      /** Of the disk that it booted once, before it was booted itself. */
      readonly lastRun: RunReport | null;
    }
  /** Somebody else's: it does not let us in, or is not who it should be. */
  | { readonly kind: "not ours"; readonly code: BoxErrorCode; readonly message: string }
  | { readonly kind: "failed"; readonly code: string; readonly message: string }
);

/** Everything that was found. */
export interface Looked {
  readonly boxes: readonly BoxLook[];
  /** Discovery controllers that are no boxes. */
  readonly foreign: readonly Sighting[];
}

/** What to go by. */
export interface LookOptions {
  readonly home: Home;
  /** Further places, named by the user. */
  readonly places: readonly Place[];
  readonly listenMs: number;
  /** How long a box may take to answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Sessions that are kept between looks; disposal ends them. */
export class Sessions implements AsyncDisposable {
  readonly #sessions = new Map<string, OpenSession>();
  readonly #onState: (() => void) | undefined;

  /** @param onState called when a box says that it is not what it was. */
  constructor(onState?: () => void) {
    this.#onState = onState;
  }

  /** The session with the box at a place, opened where there is none, which has just asked who it is. */
  async of(
    place: Place,
    { home, timeoutMs, signal }: LookOptions,
  ): Promise<OpenSession & { readonly isNew: boolean }> {
    const key = `${place.addresses.join(" ")} ${place.sshPort}`;
    const open = this.#sessions.get(key);
    if (open !== undefined) return { ...open, isNew: false };
    const session = await openSession(place, { home, timeoutMs, signal, isForLooking: true });
    const late = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const lastRun = lastRunOf(session, late);
    this.#sessions.set(key, { session, lastRun });
    session.ended.catch(() => this.#sessions.delete(key));
    if (this.#onState) {
      const onItem = ({ event }: { readonly event: string }): void => {
        if (event === "state") this.#onState?.();
      };
      // The next look finds out why it ended.
      session.stream("watch", {}, onItem, { signal }).catch(() => {});
    }
    return { session, lastRun, isNew: true };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const open = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(open.map(({ session }) => session[Symbol.asyncDispose]()));
  }
}

interface OpenSession {
  readonly session: BoxSession;
  /** It stays the same until the box is booted again. */
  readonly lastRun: Promise<RunReport | null>;
}

/** Boxes of earlier versions do not know of any. */
async function lastRunOf(session: BoxSession, signal: AbortSignal): Promise<RunReport | null> {
  try {
    return (await session.call("bootState", {}, { signal })).lastRun;
  } catch {
    return null;
  }
}

/** Looks once: while announcements are waited for, those that were heard are asked already. */
export async function lookAround(sessions: Sessions, options: LookOptions): Promise<Looked> {
  const { home, signal, listenMs } = options;
  const looks: Promise<BoxLook>[] = options.places.map((place) => lookAt(place, sessions, options));
  const { foreign } = await findAll({
    knownBoxes: home.knownBoxes,
    listenMs,
    signal,
    onPlace: (place) => void looks.push(lookAt(place, sessions, options)),
  });
  const boxes = await Promise.all(looks);
  return { boxes: boxes.toSorted((a, b) => (a.name < b.name ? -1 : 1)), foreign };
}

async function lookAt(place: Place, sessions: Sessions, options: LookOptions): Promise<BoxLook> {
  const { signal, timeoutMs } = options;
  const about = { name: place.name, address: place.addresses[0] ?? "", from: place.from };
  const late = AbortSignal.timeout(timeoutMs);
  try {
    const stranger = strangerError(place, options.home);
    if (stranger !== null) throw stranger;
    const { session, lastRun: ofRun, isNew } = await sessions.of(place, options);
    const ends = AbortSignal.any([signal, late]);
    const [description, asked, lastRun] = await Promise.all([
      isNew ? session.description : session.call("describe", {}, { signal: ends }),
      session.call("disks", { contents: true }, { signal: ends }),
      ofRun,
    ]);
    const { address } = session;
    const name = place.from === "address" ? description.name : place.name;
    return { ...about, name, address, kind: "open", description, ...asked, lastRun };
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) {
      const message = `It did not answer within ${timeoutMs / 1000} s.`;
      return { ...about, kind: "failed", code: "timeout", message };
    }
    if (!(error instanceof Error) || !("code" in error)) throw error;
    const { message } = error;
    if (error instanceof BoxError && (error.code === "not-ours" || error.code === "host-key")) {
      return { ...about, kind: "not ours", code: error.code, message };
    }
    return { ...about, kind: "failed", code: String(error.code), message };
  }
}
