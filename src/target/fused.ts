/**
 * A fused Compare and Write: two commands that are carried out as one, or not at all.
 *
 *   compare came ──write came──► both known ──data of both──► carried out
 *        │                             └──one half damaged, aborted──► over: the other half fails
 *        └──anything else came──► over: both end with Missing Fused Command
 *
 * NVM Command Set 1.0 §2.1.4 and NVMe Base 2.0 §6.4 (fused operations).
 */

import { type CommandOf, type DecodedCommand, fuse } from "../nvme/index.ts";
import { type Answer, type Call, failure, success } from "./answer.ts";
import type { Controller } from "./controller.ts";
import { compareAndWriteBlocksMax, isReadOnlyFor } from "./identify.ts";
import { checkRange, compare } from "./io-commands.ts";

type Answers = readonly [compare: Answer, write: Answer];
const missing = failure("fusedMissing");
const failed = failure("fusedFailed");

/** One pair; either half is answered once both can be. */
export class FusedPair {
  readonly #controller: Controller;
  readonly #answers = Promise.withResolvers<Answers>();
  #compare: Call<CommandOf<"compare">> | undefined;
  #write: Call<CommandOf<"write">> | undefined;
  /** What becomes of it is settled. */
  #isOver = false;

  constructor(controller: Controller) {
    this.#controller = controller;
  }

  /** The first half has come, with its data. */
  compare(call: Call<CommandOf<"compare">>): Promise<Answer> {
    this.#compare = call;
    this.#runIfWhole();
    return this.#answers.promise.then(([answer]) => answer);
  }

  /** The second half has come, with its data. */
  write(call: Call<CommandOf<"write">>): Promise<Answer> {
    this.#write = call;
    this.#runIfWhole();
    return this.#answers.promise.then(([, answer]) => answer);
  }

  /** The other half will not come, or was refused. */
  break(): void {
    this.#settle([missing, missing]);
  }

  /** The half of this name will not be carried out, with this answer: so the other is not either. */
  fail(name: string, answer: Answer): void {
    this.#settle(name === "compare" ? [answer, failed] : [failed, answer]);
  }

  #settle(answers: Answers): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#answers.resolve(answers);
  }

  #runIfWhole(): void {
    if (this.#isOver || !this.#compare || !this.#write) return;
    this.#isOver = true;
    this.#answers.resolve(this.#run(this.#compare, this.#write));
  }

  async #run(
    first: Call<CommandOf<"compare">>,
    second: Call<CommandOf<"write">>,
  ): Promise<Answers> {
    const { nsid, slba, nlb } = first.command;
    const other = second.command;
    const refuse = (answer: Answer): Answers => [answer, failed];
    if (nsid !== other.nsid || slba !== other.slba || nlb !== other.nlb) {
      return [failure("invalidField"), failure("invalidField")];
    }
    const namespace = this.#controller.subsystem.namespaces.get(nsid);
    if (!namespace) return refuse(failure("invalidNamespace"));
    if (nlb > compareAndWriteBlocksMax) return refuse(failure("atomicWriteExceeded"));
    if (!namespace.reservations.allows(this.#controller.host.hostid, "write")) {
      return refuse(failure("reservationConflict"));
    }
    if (isReadOnlyFor(this.#controller, namespace)) {
      return refuse(failure("namespaceWriteProtected"));
    }
    const range = checkRange(namespace, slba, nlb);
    if ("status" in range) return refuse(range);
    try {
      return await namespace.gate.alone(async () => {
        const compared = await compare(namespace, range, first.data, first.signal);
        if (compared.status !== 0) return refuse(compared);
        await namespace.device.write(range.offsetBytes, second.data);
        if (other.control.fua || this.#controller.isWriteThrough) await namespace.device.flush();
        return [success(), success()] as const;
      });
    } catch (error) {
      const answer = failure(namespace.statusOf(error, "write"));
      return [answer, failed];
    }
  }
}

/** The pairs of one queue: which commands belong together. */
export class FusedPairs {
  #open: FusedPair | undefined;

  /** The pair that an I/O command opens or completes; any other command breaks an open one. */
  of(decoded: DecodedCommand, controller: Controller | undefined): FusedPair | undefined {
    const open = this.#open;
    this.#open = undefined;
    const isIo = decoded.ok && controller !== undefined;
    if (isIo && decoded.fuse === fuse.second && decoded.command.name === "write") return open;
    open?.break();
    if (!isIo || decoded.fuse !== fuse.first || decoded.command.name !== "compare") {
      return undefined;
    }
    this.#open = new FusedPair(controller);
    return this.#open;
  }

  /** A command came that belongs to no pair. */
  break(): void {
    if (!this.#open) return;
    this.#open.break();
    this.#open = undefined;
  }
}
