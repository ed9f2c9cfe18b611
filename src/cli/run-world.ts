/** The machine of a run: the box that it was, the system that it boots, the box that it is again. */

import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import {
  BoxError,
  type BoxSession,
  findBox,
  type Home,
  openSession,
  type Place,
  portAt,
  type ReachOptions,
} from "../box/index.ts";
import type { Acceptance, Answer, RunWorld, Within } from "./run-wait.ts";

/** Who answers by SSH says so within this time. */
const bannerMs = 3000;
/** A forwarder to nobody has hung up by then. */
const heldMs = 1500;
/** A login on a machine that is slow, or busy with booting. */
const sessionMs = 60_000;
const sshPort = 22;
/** A box that is not where it was is looked for by its name this often. */
const findOftenMs = 20_000;

/** What is needed to look for a machine. */
export interface MachineOptions {
  readonly session: Pick<BoxSession, "address" | "description" | "ended">;
  readonly home: Home;
  readonly place: Place;
  /** Where the system that is booted will be, if elsewhere. */
  readonly address: string | undefined;
  /** What its console shows; nothing where nobody listens to it. */
  readonly shows: (pattern: RegExp) => Promise<string>;
  readonly signal: AbortSignal;
  /** In place of `ssh`. */
  readonly program?: ReachOptions["program"];
  /** In place of what is announced; null when nobody of that name is. */
  readonly find?: (name: string, signal: AbortSignal) => Promise<Place | null>;
  readonly findEveryMs?: number;
}

/** The world of `waitForRun`. */
export function machineOf(options: MachineOptions): RunWorld {
  const { session, place, address, shows, signal } = options;
  const host = address ?? session.address;
  const hasElsewhere = address !== undefined && address !== session.address;
  const box = new BoxPlace(options);
  const isForwarded = (port: number) => !hasElsewhere && portAt(place, port) !== port;
  return {
    get address() {
      return address ?? box.address;
    },
    left: session.ended.then(
      () => {},
      () => {},
    ),
    ask: async ({ ms, over }) => {
      const ends = AbortSignal.any([signal, over, AbortSignal.timeout(Math.ceil(ms))]);
      const answer = await box.ask(ends);
      if (answer.kind !== "silent" || !hasElsewhere) return answer;
      const isElsewhere = await saysSsh(host, sshPort, ends);
      return { kind: isElsewhere ? "other" : "silent" };
    },
    accepts: (port, within) => {
      const at = hasElsewhere ? port : portAt(place, port);
      return accepts(host, at, { ...within, isForwarded: isForwarded(port), signal });
    },
    isForwarded,
    shows,
    nowMs: () => performance.now(),
    sleep: (ms) => sleep(ms, undefined, { signal }).catch(() => {}),
  };
}

/**
 * Where the box is. The address at which it was speaks for the image too, which has it as long as
 * the box is away; at other addresses only the box itself counts.
 */
class BoxPlace {
  readonly #options: MachineOptions;
  #address: string;
  /** Where it is announced now, if elsewhere. */
  #moved: Place | null = null;
  #isFinding = false;
  #foundMs = performance.now();

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#address = options.session.address;
  }

  /** Where it answered last. */
  get address(): string {
    return this.#address;
  }

  async ask(ends: AbortSignal): Promise<Answer> {
    const { session, place } = this.#options;
    const first = session.address;
    if (!(await saysSsh(first, place.sshPort, ends))) {
      void this.#find(ends);
      return (await this.#askElsewhere([place, this.#moved], ends)) ?? { kind: "silent" };
    }
    const answer = await this.#askAt(place, first, ends);
    if (answer.kind !== "other") return answer;
    // Somebody else may have got the address of a box that has another one now.
    void this.#find(ends);
    return (await this.#askElsewhere([this.#moved], ends)) ?? answer;
  }

  async #askElsewhere(places: readonly (Place | null)[], ends: AbortSignal) {
    const { session, place: first } = this.#options;
    for (const place of places) {
      if (place === null) continue;
      const isFirst = (address: string) =>
        address === session.address && place.sshPort === first.sshPort;
      const others = place.addresses.filter((address) => !isFirst(address));
      const heard = await Promise.all(others.map((one) => saysSsh(one, place.sshPort, ends)));
      const address = others.find((_, n) => heard[n]);
      if (address === undefined) continue;
      const answer = await this.#askAt(place, address, ends);
      if (answer.kind === "box") return answer;
    }
    return null;
  }

  async #askAt(place: Place, address: string, ends: AbortSignal): Promise<Answer> {
    const { home, signal, program } = this.#options;
    const at = { ...place, addresses: [address] };
    const answer = await askBox(at, home, { signal, ends, ...(program ? { program } : {}) });
    if (answer.kind === "box") this.#address = address;
    return answer;
  }

  /** Now and then, while others are asked: an address may be another one after a boot. */
  async #find(ends: AbortSignal): Promise<void> {
    const { session, place, find = findAnnounced, findEveryMs = findOftenMs } = this.#options;
    if (this.#isFinding || performance.now() - this.#foundMs < findEveryMs) return;
    this.#isFinding = true;
    const name = place.sighting?.name ?? session.description.name;
    const found = await find(name, ends).catch(() => null);
    // Host keys are known under the name that it was reached by.
    this.#moved = found === null ? null : { ...found, name: place.name };
    this.#isFinding = false;
    this.#foundMs = performance.now();
  }
}

async function findAnnounced(name: string, signal: AbortSignal): Promise<Place | null> {
  const found = await findBox(name, { knownBoxes: [], signal });
  return found.from === "announced" ? found : null;
}

/** Whether the box itself answers, and not a system that it has booted. */
export async function isBoxThere(place: Place, home: Home, signal: AbortSignal): Promise<boolean> {
  const answer = await askBox(place, home, { signal, ends: signal });
  return answer.kind === "box" && answer.state.underTest === null;
}

/** What a login that failed says of who is there. */
const othersCodes: readonly string[] = ["host-key", "not-ours", "no-channel"];

async function askBox(
  place: Place,
  home: Home,
  { signal, ends, program }: Pick<MachineOptions, "signal" | "program"> & { ends: AbortSignal },
): Promise<Answer> {
  try {
    const reach = { home, signal: ends, timeoutMs: sessionMs, ...(program ? { program } : {}) };
    await using session = await openSession(place, reach);
    return { kind: "box", state: await session.call("bootState", {}, { signal: ends }) };
  } catch (error) {
    signal.throwIfAborted();
    const isOther = error instanceof BoxError && othersCodes.includes(error.code);
    return { kind: isOther ? "other" : "undecided" };
  }
}

/** Whether an SSH server greets; that something accepts is not enough behind a forwarded port. */
async function saysSsh(host: string, port: number, signal: AbortSignal): Promise<boolean> {
  return await tryPort<boolean>(host, port, { signal, ms: bannerMs, no: false }, (done) => {
    let text = "";
    return {
      data: (data) => {
        text += data;
        if (text.length >= 4) done(/^SSH-/m.test(text));
      },
    };
  });
}

async function accepts(
  host: string,
  port: number,
  {
    ms,
    over,
    signal,
    isForwarded,
  }: Within & { readonly signal: AbortSignal; readonly isForwarded: boolean },
): Promise<Acceptance> {
  const ends = AbortSignal.any([signal, over]);
  const bounds = { signal: ends, ms: Math.min(ms, bannerMs), no: "no" as const };
  return await tryPort<Acceptance>(host, port, bounds, (done) => {
    const held = isForwarded ? heldMs : 0;
    return {
      connect: () => void setTimeout(() => done("accepted"), held).unref(),
      data: () => done("speaks"),
    };
  });
}

/** Connects and watches; whatever goes wrong, or takes too long, is `no`. */
async function tryPort<T>(
  host: string,
  port: number,
  { signal, ms, no }: { readonly signal: AbortSignal; readonly ms: number; readonly no: T },
  watch: (done: (result: T) => void) => {
    readonly connect?: () => void;
    readonly data: (text: string) => void;
  },
): Promise<T> {
  const late = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(ms))]);
  const socket = connect({ host, port });
  try {
    return await new Promise<T>((resolve) => {
      const { connect: onConnect, data } = watch(resolve);
      socket.setEncoding("latin1");
      if (onConnect) socket.on("connect", onConnect);
      socket.on("data", data);
      socket.on("error", () => resolve(no));
      socket.on("close", () => resolve(no));
      if (late.aborted) resolve(no);
      late.addEventListener("abort", () => resolve(no), { once: true });
    });
  } finally {
    socket.destroy();
  }
}
