/** Whether the host of a queue has proven who it is: DH-HMAC-CHAP around the wire's state machine. */

import {
  DhchapController,
  DhchapSecret,
  dhchapGroups,
  dhchapHashes,
  discoveryNqn,
} from "../nvme/index.ts";
import type { HostAccess } from "./subsystem.ts";
import type { TargetLog } from "./transport.ts";

/** Who is to prove what to whom. */
export interface AuthenticationParties {
  readonly hostnqn: string;
  readonly subnqn: string;
  readonly access: HostAccess;
}

/** The authentication of one queue. */
export class Authentication {
  readonly #machine: DhchapController;
  readonly #parties: AuthenticationParties;
  readonly #log: TargetLog;
  #isDone = false;
  #isCalledOff = false;

  private constructor(machine: DhchapController, parties: AuthenticationParties, log: TargetLog) {
    this.#machine = machine;
    this.#parties = parties;
    this.#log = log;
  }

  /** What a host's access asks for; `undefined` when it need not authenticate. */
  static of(
    parties: AuthenticationParties,
    random: (lengthBytes: number) => Uint8Array,
    log: TargetLog,
  ): Authentication | undefined {
    const { hostnqn, subnqn, access } = parties;
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
      random,
    });
    return new Authentication(machine, parties, log);
  }

  /** The host is who it says. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** The host gave up. */
  get isCalledOff(): boolean {
    return this.#isCalledOff;
  }

  /** Takes a message of the host. */
  receive(raw: Uint8Array): void {
    const step = this.#machine.send(raw);
    const { hostnqn, subnqn } = this.#parties;
    if (step.kind === "authenticated") {
      this.#isDone = true;
      const { hash, group, bidirectional } = step.result;
      this.#log("host-authenticated", { hostnqn, subnqn, hash, group, bidirectional });
    } else if (step.kind === "failed") {
      this.#isDone = false;
      this.#isCalledOff = step.by === "host";
      const { hashes, groups } = this.#parties.access;
      const allowed =
        (step.failure === "hashNotUsable" && { allowed: hashes ?? dhchapHashes }) ||
        (step.failure === "groupNotUsable" && { allowed: groups ?? dhchapGroups });
      const reason = `authentication: ${step.failure}`;
      this.#log("host-refused", { hostnqn, subnqn, reason, ...allowed });
    }
  }

  /** The message that the host asks for; `undefined` when it asks out of turn. */
  answer(): { readonly message: Uint8Array; readonly isLast: boolean } | undefined {
    const answer = this.#machine.receive();
    if (answer.kind === "outOfTurn") return undefined;
    return { message: answer.message, isLast: answer.kind === "last" };
  }
}

/**
 * A secret from its text.
 * @throws RangeError that says what is wrong with it, without showing it.
 */
export function secretOf(text: string): DhchapSecret {
  const parsed = DhchapSecret.parse(text);
  if (parsed.ok) return parsed.secret;
  throw new RangeError(`A DH-HMAC-CHAP secret ("DHHC-1:…") is malformed: ${parsed.fault}.`);
}
