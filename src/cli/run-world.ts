/** The machine of a run: the box that it was, the system that it boots, the box that it is again. */

import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import {
  BoxError,
  type BoxSession,
  type Home,
  openSession,
  type Place,
  portAt,
} from "../box/index.ts";
import type { Answer, RunWorld } from "./run-wait.ts";

/** Who answers by SSH says so within this time. */
const bannerMs = 3000;
/** A login on a machine that is slow, or busy with booting. */
const sessionMs = 60_000;
const sshPort = 22;

/** What is needed to look for a machine. */
export interface MachineOptions {
  readonly session: BoxSession;
  readonly home: Home;
  readonly place: Place;
  /** Where the system that is booted will be, if elsewhere. */
  readonly address: string | undefined;
  /** What its console shows; nothing where nobody listens to it. */
  readonly shows: (pattern: RegExp) => Promise<string>;
  readonly signal: AbortSignal;
}

/** The world of `waitForRun`. */
export function machineOf(options: MachineOptions): RunWorld {
  const { session, home, place, address, shows, signal } = options;
  const host = address ?? session.address;
  const own = { host: session.address, port: place.sshPort };
  const hasElsewhere = address !== undefined && address !== session.address;
  return {
    address: host,
    left: session.ended.then(
      () => {},
      () => {},
    ),
    ask: async (over) => {
      const ends = AbortSignal.any([signal, over]);
      if (await saysSsh(own.host, own.port, ends)) return await askBox(place, home, ends);
      const elsewhere = hasElsewhere && (await saysSsh(host, sshPort, ends));
      return { kind: elsewhere ? "other" : "silent" };
    },
    accepts: (port) => accepts(host, hasElsewhere ? port : portAt(place, port), signal),
    shows,
    nowMs: () => performance.now(),
    sleep: (ms) => sleep(ms, undefined, { signal }).catch(() => {}),
  };
}

/** Whether the box itself answers, and not a system that it has booted. */
export async function isBoxThere(place: Place, home: Home, signal: AbortSignal): Promise<boolean> {
  const answer = await askBox(place, home, signal);
  return answer.kind === "box" && answer.state.underTest === null;
}

/** What a login that failed says of who is there. */
const othersCodes: readonly string[] = ["host-key", "not-ours", "no-channel"];

async function askBox(place: Place, home: Home, signal: AbortSignal): Promise<Answer> {
  try {
    await using session = await openSession(place, { home, signal, timeoutMs: sessionMs });
    return { kind: "box", state: await session.call("bootState", {}, { signal }) };
  } catch (error) {
    signal.throwIfAborted();
    const isOther = error instanceof BoxError && othersCodes.includes(error.code);
    return { kind: isOther ? "other" : "undecided" };
  }
}

/** Whether an SSH server greets; that something accepts is not enough behind a forwarded port. */
async function saysSsh(host: string, port: number, signal: AbortSignal): Promise<boolean> {
  return await tryPort(host, port, signal, (socket, done) => {
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (data: string) => {
      text += data;
      if (text.length >= 4) done(/^SSH-/m.test(text));
    });
  });
}

async function accepts(host: string, port: number, signal: AbortSignal): Promise<boolean> {
  return await tryPort(host, port, signal, (socket, done) => {
    socket.on("connect", () => done(true));
  });
}

async function tryPort(
  host: string,
  port: number,
  signal: AbortSignal,
  watch: (socket: ReturnType<typeof connect>, done: (result: boolean) => void) => void,
): Promise<boolean> {
  const late = AbortSignal.any([signal, AbortSignal.timeout(bannerMs)]);
  const socket = connect({ host, port });
  try {
    return await new Promise<boolean>((resolve) => {
      watch(socket, resolve);
      socket.on("error", () => resolve(false));
      socket.on("close", () => resolve(false));
      if (late.aborted) resolve(false);
      late.addEventListener("abort", () => resolve(false), { once: true });
    });
  } finally {
    socket.destroy();
  }
}
