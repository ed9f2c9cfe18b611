/**
 * Proving to a controller who this host is, and having it proven in turn: DH-HMAC-CHAP over the
 * Authentication Send and Receive commands of one queue. NVMe Base 2.0 §8.13.5.
 */

import { randomBytes } from "node:crypto";
import {
  authenticationProtocol,
  command,
  type DhchapFailure,
  type DhchapGroup,
  type DhchapHash,
  DhchapHost,
  type DhchapHostStep,
  type DhchapResult,
  DhchapSecret,
  describeInterchangeFault,
  dhchapGroups,
  dhchapHashes,
  dhchapMessageBytesMax,
  type RetainedPsk,
} from "../nvme/index.ts";
import type { Channel, TimedOptions } from "./channel.ts";
import { InitiatorError } from "./error.ts";
import type { Connected } from "./negotiation.ts";

/** Keys, and how they are used. */
export interface AuthenticationOptions {
  /** This host's secret: `DHHC-1:…`. */
  readonly secret: string;
  /**
   * The controller's secret: given, a controller that cannot prove that it knows it is refused, and
   * so is one that does not authenticate at all, unless TLS has proven both ends.
   */
  readonly controllerSecret?: string;
  /** Hashes to offer, the preferred first; all unless given. */
  readonly hashes?: readonly DhchapHash[];
  /** Groups to offer, the preferred first; all unless given. */
  readonly groups?: readonly DhchapGroup[];
}

/** What a host offers in one authentication. */
type Offer = Pick<AuthenticationOptions, "hashes" | "groups">;

/** Who authenticates to whom. */
export interface Parties {
  readonly hostnqn: string;
  readonly subnqn: string;
}

/** Authenticates queues of one host to one subsystem. */
export class Authenticator {
  readonly #peer: string;
  readonly #parties: Parties;
  readonly #options: AuthenticationOptions;
  readonly #secret: DhchapSecret;
  readonly #controllerSecret: DhchapSecret | undefined;

  /** @throws InitiatorError `unsupported` for a text that is no secret, or a list that is empty. */
  constructor(peer: string, parties: Parties, options: AuthenticationOptions) {
    this.#peer = peer;
    this.#parties = parties;
    this.#options = options;
    const { secret, controllerSecret, hashes, groups } = options;
    this.#secret = parseSecret("the host's secret", secret);
    for (const [what, list] of Object.entries({ hashes, groups })) {
      if (list?.length !== 0) continue;
      const message = `Cannot authenticate to ${peer}: the list of ${what} to offer is empty.`;
      throw new InitiatorError("unsupported", message, { peer });
    }
    if (controllerSecret !== undefined) {
      this.#controllerSecret = parseSecret("the controller's secret", controllerSecret);
    }
  }

  /**
   * Authenticates a queue as its controller asks; returns how, `undefined` where that is not at all.
   * @throws InitiatorError `authentication-failed`, or what `Channel.execute` throws.
   */
  async authenticate(
    channel: Channel,
    asked: Connected["authentication"],
    isSecured: boolean,
    options: TimedOptions,
  ): Promise<DhchapResult | undefined> {
    if (asked === "none") {
      // The Linux target asks on the admin queue only, or on all; never on none with keys set.
      if (this.#controllerSecret === undefined || isSecured || channel.qid !== 0) return undefined;
      throw this.#failed("it did not ask for authentication, so it did not prove who it is");
    }
    if (asked === "secure-channel" && !isSecured) {
      throw this.#failed("it wants a secure channel. Connect with `tls` from authentication");
    }
    return this.#run(channel, "none", options);
  }

  /** Authenticates an admin queue, and makes the key for the secure channel that follows. */
  async concatenate(channel: Channel, options: TimedOptions): Promise<RetainedPsk> {
    const { hashes = dhchapHashes, groups = dhchapGroups } = this.#options;
    const offer = {
      // Node's TLS has pre-shared keys of that hash only.
      hashes: hashes.filter((hash) => hash === "sha256"),
      groups: groups.filter((group) => group !== "null"),
    };
    if (offer.hashes.length === 0 || offer.groups.length === 0) {
      const why = "a key for TLS is made with hash sha256 and a Diffie-Hellman group, not null";
      const message = `Cannot connect to ${this.#peer} by TLS: ${why}. Allow both.`;
      throw new InitiatorError("unsupported", message, { peer: this.#peer });
    }
    const { generated } = await this.#run(channel, "newTlsPsk", options, offer);
    if (generated) return generated;
    throw this.#failed("no key for TLS came of it");
  }

  /**
   * The Linux target drops the connection once it has answered that a secret is wrong, so that the
   * answer may be lost; the error says so. It is not final, since a restart looks alike.
   */
  async #run(
    channel: Channel,
    concatenation: "none" | "newTlsPsk",
    options: TimedOptions,
    offer: Offer = this.#options,
  ): Promise<DhchapResult> {
    try {
      return await this.#converse(channel, concatenation, options, offer);
    } catch (cause) {
      const isCut = cause instanceof InitiatorError && cause.facts.endedBy !== undefined;
      if (!isCut || cause.code !== "closed") throw cause;
      const why = "the connection was closed in place of an answer, as happens with a wrong secret";
      throw this.#failed(why, cause);
    }
  }

  async #converse(
    channel: Channel,
    concatenation: "none" | "newTlsPsk",
    options: TimedOptions,
    { hashes, groups }: Offer,
  ): Promise<DhchapResult> {
    const controllerSecret = this.#controllerSecret;
    const host = new DhchapHost({
      ...this.#parties,
      secret: this.#secret,
      ...(controllerSecret ? { controllerSecret } : {}),
      ...(hashes ? { hashes } : {}),
      ...(groups ? { groups } : {}),
      tid: randomBytes(2).readUInt16LE(),
      concatenation,
      random: randomBytes,
    });
    let step: DhchapHostStep = { kind: "reply", message: host.start() };
    while (step.kind === "reply") {
      await send(channel, step.message, options);
      step = host.receive(await receive(channel, options));
    }
    if (step.kind === "failed") {
      // What matters is told below, whether the controller takes this or not.
      if (step.message) await send(channel, step.message, options).catch(() => {});
      throw this.#failed(this.#explain(step.failure, step.by));
    }
    if (step.message) await send(channel, step.message, options);
    return step.result;
  }

  #explain(failure: DhchapFailure | "unknown", by: "host" | "controller"): string {
    const { hashes = dhchapHashes, groups = dhchapGroups } = this.#options;
    const offered =
      (failure === "hashNotUsable" && hashes) || (failure === "groupNotUsable" && groups);
    const who = by === "host" ? "this host takes" : "this host offers";
    return `${explanations[failure]}${offered ? ` (${who} ${offered.join(", ")})` : ""}`;
  }

  #failed(why: string, cause?: InitiatorError): InitiatorError {
    const message = `Authentication with the controller at ${this.#peer} failed: ${why}.`;
    const facts = { ...cause?.facts, peer: this.#peer };
    return new InitiatorError("authentication-failed", message, facts, cause && { cause });
  }
}

const explanations: Readonly<Record<DhchapFailure | "unknown", string>> = {
  failed: "the secrets of both ends differ. Check that this host's key and the target's are alike",
  protocolNotUsable: "both ends have no authentication protocol in common",
  concatenationMismatch: "both ends disagree on whether a secure channel is to follow",
  hashNotUsable: "both ends have no hash in common",
  groupNotUsable: "both ends have no Diffie-Hellman group in common",
  incorrectPayload: "a message had contents that it must not have",
  incorrectMessage: "a message came out of turn",
  unknown: "the controller gave a reason that has no name",
};

function parseSecret(what: string, text: string): DhchapSecret {
  const parsed = DhchapSecret.parse(text);
  if (parsed.ok) return parsed.secret;
  const message = `Cannot use ${what}: ${describeInterchangeFault(parsed.fault)}.`;
  throw new InitiatorError("unsupported", message, { fault: parsed.fault });
}

async function send(channel: Channel, data: Uint8Array, options: TimedOptions): Promise<void> {
  const { length } = data;
  const carry = command("authenticationSend", { ...authenticationProtocol, length });
  await channel.execute(carry, { ...options, transfer: { kind: "out", data } });
}

async function receive(channel: Channel, options: TimedOptions): Promise<Uint8Array> {
  const target = new Uint8Array(dhchapMessageBytesMax);
  const { length } = target;
  const ask = command("authenticationReceive", { ...authenticationProtocol, length });
  await channel.execute(ask, { ...options, transfer: { kind: "in", target, mayBeShort: true } });
  return target;
}
