/** A session with a box: `rpc` over the pipes of the system's ssh. */

import {
  type BoxDescription,
  type CallParams,
  describeVersionGap,
  type Item,
  type MethodName,
  type Result,
  rpcVersion,
  type StreamingMethod,
} from "../rpc/index.ts";
import type { Home } from "./driver-home.ts";
import { connectFirst, type SshChannel, type SshProgram } from "./driver-ssh.ts";
import { BoxError } from "./error.ts";
import type { Place } from "./place.ts";
import type { SshTarget } from "./ssh.ts";

/** How to reach a box. */
export interface ReachOptions {
  readonly home: Pick<Home, "identities" | "knownHosts" | "imageKeys">;
  readonly signal?: AbortSignal;
  /** How long connecting, logging in and the first answer may take; 30 s unless given. */
  readonly timeoutMs?: number;
  /** No key is asked for over this session: the cheapest exchange of keys will do. */
  readonly isForLooking?: boolean;
  /** In place of `ssh`. */
  readonly program?: SshProgram;
}

const timeoutDefaultMs = 30_000;

/** An open control channel; disposal ends it. */
export class BoxSession implements AsyncDisposable {
  readonly place: Place;
  /** The address that answered. */
  readonly address: string;
  /** What the box said of itself at the beginning. */
  readonly description: BoxDescription;
  readonly #channel: SshChannel;

  constructor(place: Place, channel: SshChannel, description: BoxDescription) {
    this.place = place;
    this.address = channel.target.address;
    this.description = description;
    this.#channel = channel;
  }

  /** Rejects when the channel has ended, never resolves. */
  get ended(): Promise<never> {
    return this.#channel.ended;
  }

  /**
   * Calls a method of the box.
   * @throws RpcError, the signal's reason, BoxError when the channel has ended.
   */
  call<M extends Exclude<MethodName, StreamingMethod>>(
    method: M,
    params: CallParams<M>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Result<M>> {
    return this.#channel.whileOpen(this.#channel.client.call(method, params, options));
  }

  /** Calls a method that streams; as `call`. */
  stream<M extends StreamingMethod>(
    method: M,
    params: Omit<CallParams<M>, "stream">,
    onItem: (item: Item<M>) => void,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Result<M>> {
    return this.#channel.whileOpen(this.#channel.client.stream(method, params, onItem, options));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#channel.close();
  }
}

/**
 * Opens a session: finds the address that answers, logs in, asks who it is.
 * @throws BoxError, or the signal's reason.
 */
export async function openSession(place: Place, options: ReachOptions): Promise<BoxSession> {
  const { home, signal, isForLooking = false, timeoutMs = timeoutDefaultMs } = options;
  signal?.throwIfAborted();
  const targets = place.addresses.map((address) => {
    return { ...sshTargetOf(place, address, home, timeoutMs), isForLooking };
  });
  const channel = await connectFirst(place.name, targets, options.program ?? ["ssh"], signal);
  try {
    const late = AbortSignal.timeout(timeoutMs);
    const ends = signal ? AbortSignal.any([signal, late]) : late;
    const description = await describe(channel, ends, signal, timeoutMs);
    const gap = describeVersionGap(description.rpc, description.name);
    if (gap !== null) {
      const facts = { box: description.name, found: description.rpc, wanted: rpcVersion };
      throw new BoxError("version", gap, facts);
    }
    return new BoxSession(place, channel, description);
  } catch (error) {
    await channel.close();
    throw error;
  }
}

/** What ssh is told about a box. */
export function sshTargetOf(
  place: Place,
  address: string,
  home: ReachOptions["home"],
  timeoutMs: number = timeoutDefaultMs,
): SshTarget {
  return {
    name: place.name,
    address,
    port: place.sshPort,
    // What is in a name could mean something in the file of host keys.
    hostKeyAlias: place.name.replace(/[^\w.:%-]/g, "_"),
    identities: home.identities,
    knownHosts: home.knownHosts,
    isNewKeyAccepted: home.imageKeys.length === 0,
    isForLooking: false,
    connectTimeoutSeconds: Math.ceil(timeoutMs / 1000),
  };
}

async function describe(
  channel: SshChannel,
  ends: AbortSignal,
  signal: AbortSignal | undefined,
  timeoutMs: number,
): Promise<BoxDescription> {
  try {
    const asked = channel.client.call("describe", {}, { signal: ends });
    return await channel.whileOpen(asked);
  } catch (error) {
    signal?.throwIfAborted();
    if (!ends.aborted) throw error;
    const { name, address } = channel.target;
    throw new BoxError(
      "timeout",
      `${name} at ${address} accepts connections but did not answer within ` +
        `${Math.ceil(timeoutMs / 1000)} s. It may still be booting: try again.`,
      { box: name, address, timeoutMs },
      { cause: error },
    );
  }
}
