/** Asking a discovery service which subsystems are where. */

import type { CallOptions } from "../block/index.ts";
import { discoveryNqn } from "../nvme/index.ts";
import { Admin } from "./admin.ts";
import { Controller, type ControllerOptions } from "./controller.ts";
import { type DiscoveryEntry, describeEntry, readLog } from "./discovery-entry.ts";
import { systemClock } from "./driver-clock.ts";
import type { Address } from "./driver-socket.ts";
import { dialsOf } from "./driver-tls.ts";
import { connectFailure, InitiatorError } from "./error.ts";
import { type HostOptions, hostConfig, peerName } from "./host.ts";
import { type Dials, secure } from "./security.ts";
import { untilAborted } from "./signal.ts";
import type { Dial } from "./transport.ts";

/** Where to ask, and as whom. */
export interface DiscoverOptions extends Address, HostOptions {}

/**
 * Reads the discovery log of the service at `host:port`.
 * @throws InitiatorError, or the signal's reason.
 */
export async function discover(options: DiscoverOptions): Promise<DiscoveryEntry[]> {
  const { host, port } = options;
  const dials = dialsOf({ host, port }, hostConfig(options, discoveryNqn).connectTimeoutMs);
  return discoverBy(dials, { host, port }, options);
}

/** The same over any transport; `reached` is what the entries report as the address reached. */
export function discoverOver(
  dial: Dial,
  reached: Address,
  options: HostOptions,
): Promise<DiscoveryEntry[]> {
  return discoverBy({ dial }, reached, options);
}

async function discoverBy(
  dials: Dials,
  reached: Address,
  options: HostOptions,
): Promise<DiscoveryEntry[]> {
  const peer = peerName(reached);
  const call: CallOptions = options.signal ? { signal: options.signal } : {};
  const admin = await openService(dials, peer, options, call).catch((error) => {
    throw connectFailure(error);
  });
  try {
    const entries = await readLog(admin, peer, call);
    // A discovery controller that cannot shut down in order is simply left.
    await admin.shutDown(call).catch(() => {});
    return entries.map((entry) => describeEntry(entry, reached));
  } finally {
    await admin.channel.close();
  }
}

async function openService(
  dials: Dials,
  peer: string,
  options: HostOptions,
  call: CallOptions,
): Promise<Admin> {
  const config = hostConfig(options, discoveryNqn);
  const { authentication, tls, log = () => {} } = options;
  const context = { peer, log };
  const secured = await secure({ ...dials, authentication, tls }, config, context, call);
  const { dial, authenticate } = secured;
  const withKeys = { ...context, ...(authenticate ? { authenticate } : {}) };
  return await Admin.open(dial, config, 0, withKeys, call);
}

/** How long a log is left alone that changes all the time. */
const busyPauseMs = 2000;

/** How a discovery service is watched. */
export interface WatchOptions
  extends HostOptions,
    Pick<ControllerOptions, "katoMs" | "reconnect" | "clock"> {}

/**
 * Watches the discovery service at `host:port`: what it lists now, and again whenever that changes
 * or a lost connection is back. It ends by leaving the loop, by the signal, or by the error that a
 * service that is gone for good gives.
 * @throws InitiatorError, or the signal's reason.
 */
export function watchDiscovery(options: Address & WatchOptions): AsyncGenerator<DiscoveryEntry[]> {
  const { host, port } = options;
  const { connectTimeoutMs } = hostConfig(options, discoveryNqn);
  return watchBy(dialsOf({ host, port }, connectTimeoutMs), { host, port }, options);
}

/** The same over any transport. */
export async function* watchBy(
  dials: Dials,
  reached: Address,
  options: WatchOptions,
): AsyncGenerator<DiscoveryEntry[]> {
  const { signal, clock = systemClock } = options;
  const call: CallOptions = signal ? { signal } : {};
  const all = { reconnect: {}, ...options, subsystemNqn: discoveryNqn };
  await using service = await Controller.open(dials, peerName(reached), all);
  let news = Promise.withResolvers<void>();
  const stop = service.onEvent((event) => {
    if (event.type === "discovery-changed" || event.type === "reconnected") news.resolve();
    else if (event.type === "closed") news.reject(event.error);
  });
  try {
    for (;;) {
      // Made before the log is read: what changes from then on is news.
      news = Promise.withResolvers();
      news.promise.catch(() => {});
      const entries = await service.logs.discovery(call).catch(unlessBusy);
      if (entries) {
        yield entries.map((entry) => describeEntry(entry, reached));
        await untilAborted(news.promise, signal);
      } else await clock.sleep(busyPauseMs, call);
    }
  } finally {
    stop();
  }
}

/** A log that changes all the time is no end: it is read later. */
function unlessBusy(error: unknown): undefined {
  if (error instanceof InitiatorError && error.code === "busy") return undefined;
  throw error;
}
