/**
 * Whether the host of a queue has proven who it is: DH-HMAC-CHAP around the wire's state machine.
 * On an admin queue it can make a key for TLS, which the host comes back with (secure channel
 * concatenation, TP8018).
 */

import {
  DhchapController,
  DhchapSecret,
  describeInterchangeFault,
  dhchapGroups,
  dhchapHashes,
  discoveryNqn,
  nodeTlsIdentityBytesMax,
  type RetainedPsk,
} from "../nvme/index.ts";
import type { ChannelSecurity } from "./secure-channel.ts";
import type { HostAccess } from "./subsystem.ts";
import type { TargetLog } from "./transport.ts";

/** Who is to prove what to whom, and on which queue. */
export interface AuthenticationParties {
  readonly hostnqn: string;
  readonly subnqn: string;
  readonly access: HostAccess;
  readonly qid: number;
  readonly security: ChannelSecurity;
  /** The listener takes TLS, so a key for it is of use. */
  readonly offersTls: boolean;
  /** The queue is there to make a key, and for nothing else. */
  readonly isKeyOnly: boolean;
}

/** What an authentication needs of its target. */
export interface AuthenticationWorld {
  /** As many unpredictable bytes. */
  random(lengthBytes: number): Uint8Array;
  /** A key for TLS was made. */
  keep(psk: RetainedPsk): void;
  readonly log: TargetLog;
}

/** What a host is asked for in the response to Connect: AUTHREQ. */
export type AuthenticationDemand = "none" | "authentication" | "secure-channel";

/** The authentication of one queue. */
export class Authentication {
  readonly #machine: DhchapController;
  readonly #parties: AuthenticationParties;
  readonly #world: AuthenticationWorld;
  #isDone: boolean;
  #isCalledOff = false;

  private constructor(
    machine: DhchapController,
    parties: AuthenticationParties,
    world: AuthenticationWorld,
  ) {
    this.#machine = machine;
    this.#parties = parties;
    this.#world = world;
    // Who has a key that was made by authentication has authenticated; it may do so again.
    this.#isDone = parties.security === "generated";
  }

  /** What a host's access asks for; `undefined` when it need not authenticate. */
  static of(
    parties: AuthenticationParties,
    world: AuthenticationWorld,
  ): Authentication | undefined {
    const { hostnqn, subnqn, access, isKeyOnly } = parties;
    if (access.secret === undefined || subnqn === discoveryNqn) return undefined;
    const controllerSecret =
      access.controllerSecret === undefined ? undefined : secretOf(access.controllerSecret);
    const machine = new DhchapController({
      hostnqn,
      subnqn,
      secret: secretOf(access.secret),
      ...(controllerSecret ? { controllerSecret } : {}),
      ...(access.hashes ? { hashes: access.hashes } : {}),
      ...(access.groups ? { groups: access.groups } : {}),
      concatenation: concatenationOf(parties),
      mustConcatenate: isKeyOnly,
      // Node's TLS has pre-shared keys of that hash only.
      keyHashes: ["sha256"],
      random: (lengthBytes) => world.random(lengthBytes),
    });
    return new Authentication(machine, parties, world);
  }

  /** The host is who it says. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** The host gave up. */
  get isCalledOff(): boolean {
    return this.#isCalledOff;
  }

  /** What the host has to do before it may use the queue. */
  get demand(): AuthenticationDemand {
    if (this.#isDone) return "none";
    return this.#parties.isKeyOnly ? "secure-channel" : "authentication";
  }

  /** Takes a message of the host. */
  receive(raw: Uint8Array): void {
    const step = this.#machine.send(raw);
    const { hostnqn, subnqn, access } = this.#parties;
    const { log } = this.#world;
    if (step.kind === "authenticated") {
      this.#isDone = true;
      const { hash, group, bidirectional, generated } = step.result;
      if (generated) this.#world.keep(generated);
      const madeKey = generated !== undefined;
      log("host-authenticated", { hostnqn, subnqn, hash, group, bidirectional, madeKey });
    } else if (step.kind === "failed") {
      this.#isDone = false;
      this.#isCalledOff = step.by === "host";
      const { hashes = dhchapHashes, groups = dhchapGroups } = access;
      const allowed =
        (step.failure === "hashNotUsable" && { allowed: hashes }) ||
        (step.failure === "groupNotUsable" && { allowed: groups });
      log("host-refused", {
        hostnqn,
        subnqn,
        reason: `authentication: ${step.failure}`,
        ...allowed,
      });
    }
  }

  /** The message that the host asks for; `undefined` when it asks out of turn. */
  answer(): { readonly message: Uint8Array; readonly isLast: boolean } | undefined {
    const answer = this.#machine.receive();
    if (answer.kind === "outOfTurn") return undefined;
    return { message: answer.message, isLast: answer.kind === "last" };
  }
}

/** `NVMe1G01`, two spaces more, and a SHA-256 in Base64: what an identity has beside the names. */
const identityRestBytes = 8 + 1 + 1 + 1 + 44;

/** Which key may be made: on an admin queue, for a listener with TLS, under a name that fits. */
function concatenationOf({ qid, offersTls, security, hostnqn, subnqn }: AuthenticationParties) {
  const identityBytes = Buffer.byteLength(hostnqn) + Buffer.byteLength(subnqn) + identityRestBytes;
  if (qid !== 0 || !offersTls || identityBytes > nodeTlsIdentityBytesMax) return "none";
  if (security === "none") return "newTlsPsk";
  return security === "generated" ? "replaceTlsPsk" : "none";
}

/**
 * A secret from its text.
 * @throws RangeError that says what is wrong with it, without showing it.
 */
export function secretOf(text: string): DhchapSecret {
  const parsed = DhchapSecret.parse(text);
  if (parsed.ok) return parsed.secret;
  const why = describeInterchangeFault(parsed.fault);
  throw new RangeError(`A DH-HMAC-CHAP secret ("DHHC-1:…") is malformed: ${why}.`);
}
