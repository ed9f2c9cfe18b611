/**
 * Commands whose answers bring data and are made from little: a page of a log of 1 MiB is asked for
 * in 72 bytes. They wait, as commands, while the host does not take what it has been sent.
 *
 *   came ──socket has room, none waits──► executed, answered
 *     └──else──► waits ──socket has room──► executed, unless it was aborted
 */

import type { DecodedCommand } from "../nvme/index.ts";
import type { Pending } from "./data-path.ts";
import type { Outbox } from "./outbox.ts";

/** A command that was decoded by the tables. */
export type Decoded = DecodedCommand & { readonly ok: true };

/** What a line needs of its connection. */
export interface AnswerLineHost {
  readonly outbox: Outbox;
  /** Whether the socket has enough to do. */
  isCongested(): boolean;
  track(pending: Pending): void;
}

class WaitingCommand implements Pending {
  readonly decoded: Decoded;
  isAborted = false;

  constructor(decoded: Decoded) {
    this.decoded = decoded;
  }

  get cid(): number {
    return this.decoded.cid;
  }

  get nsid(): number {
    return this.decoded.command.nsid;
  }

  abort(): boolean {
    const isAtOnce = !this.isAborted;
    this.isAborted = true;
    return isAtOnce;
  }
}

/** The line of one connection; as many wait as commands may be under way. */
export class AnswerLine {
  readonly #host: AnswerLineHost;
  readonly #waiting: WaitingCommand[] = [];

  constructor(host: AnswerLineHost) {
    this.#host = host;
  }

  /** Whether a command may be answered now; else it waits, and `next` gives it when it may. */
  admits(decoded: Decoded): boolean {
    if (this.#waiting.length === 0 && this.#hasRoomFor(decoded)) return true;
    const command = new WaitingCommand(decoded);
    this.#host.track(command);
    this.#waiting.push(command);
    return false;
  }

  /** The next command that may be answered. */
  next(): Decoded | undefined {
    while (this.#waiting.length > 0) {
      const { decoded, isAborted } = this.#waiting[0]!;
      if (!isAborted && !this.#hasRoomFor(decoded)) return undefined;
      this.#waiting.shift();
      if (!isAborted) return decoded;
    }
    return undefined;
  }

  /** The connection is gone. */
  close(): void {
    this.#waiting.length = 0;
  }

  #hasRoomFor({ data }: Decoded): boolean {
    this.#host.outbox.makeRoom(data.lengthBytes);
    return !this.#host.isCongested();
  }
}
