/**
 * Reservations of one namespace: which hosts are registered, and who holds what.
 *
 *   free ──acquire──► held (type, holder) ──release, clear, last leaves──► free
 *                        └──preempt──► held by another host
 *
 * Hosts are known by their host identifier in hex. State is lost with the target (PTPL is 0).
 * NVMe Base 2.0 §7.2 to §7.6 and §8.19.
 */

import {
  acquireAction,
  type Registrant,
  registerAction,
  releaseAction,
  reservationType,
  type StatusName,
} from "../nvme/index.ts";

/** Something that other hosts are to be told. */
export interface ReservationNotice {
  readonly type: "registrationPreempted" | "reservationReleased" | "reservationPreempted";
  /** Host identifiers. */
  readonly hosts: readonly string[];
}

/** How a reservation command ended. */
export interface ReservationOutcome {
  readonly status: StatusName;
  readonly notices: readonly ReservationNotice[];
  /** Hosts whose commands are to be aborted. */
  readonly abortHosts: readonly string[];
}

/** Registrants of a namespace at most. */
const registrantsMax = 256;

/** Done, and nobody needs to know. */
const done = outcome("success");
const conflict = outcome("reservationConflict");
const invalid = outcome("invalidField");

/** The state machine. */
export class Reservations {
  readonly #registrants = new Map<string, { key: bigint }>();
  #type: number = reservationType.none;
  #holder: string | undefined;
  #generation = 0;

  /** Whether any reservation restricts anybody. */
  get isHeld(): boolean {
    return this.#type !== reservationType.none;
  }

  /** Whether a host may read or write. */
  allows(hostid: string, kind: "read" | "write"): boolean {
    const type = this.#type;
    if (type === reservationType.none) return true;
    const restrictsReads =
      type === reservationType.exclusiveAccess ||
      type === reservationType.exclusiveAccessRegistrantsOnly ||
      type === reservationType.exclusiveAccessAllRegistrants;
    if (kind === "read" && !restrictsReads) return true;
    const holderOnly =
      type === reservationType.writeExclusive || type === reservationType.exclusiveAccess;
    return holderOnly ? hostid === this.#holder : this.#registrants.has(hostid);
  }

  /** Reservation Register, §7.3. `action` is RREGA. */
  register(
    hostid: string,
    action: number,
    isKeyIgnored: boolean,
    currentKey: bigint,
    newKey: bigint,
  ): ReservationOutcome {
    const found = this.#registrants.get(hostid);
    // A key of 0 stands for none.
    if (newKey === 0n && action !== registerAction.unregister) return invalid;
    if (action === registerAction.register) {
      if (found) return found.key === newKey ? done : conflict;
      return this.#enter(hostid, newKey);
    }
    if (action === registerAction.unregister) {
      if (!found || (!isKeyIgnored && found.key !== currentKey)) return conflict;
      this.#generation = (this.#generation + 1) % 2 ** 32;
      return outcome("success", this.#remove(hostid));
    }
    if (action !== registerAction.replace) return invalid;
    if (!found) return isKeyIgnored ? this.#enter(hostid, newKey) : conflict;
    if (!isKeyIgnored && found.key !== currentKey) return conflict;
    found.key = newKey;
    this.#generation = (this.#generation + 1) % 2 ** 32;
    return done;
  }

  /** Reservation Acquire, §7.2. `action` is RACQA, `type` RTYPE. */
  acquire(
    hostid: string,
    action: number,
    type: number,
    currentKey: bigint,
    preemptKey: bigint,
  ): ReservationOutcome {
    const found = this.#registrants.get(hostid);
    if (!found || found.key !== currentKey) return conflict;
    if (type < 1 || type > reservationType.exclusiveAccessAllRegistrants) return invalid;
    if (action === acquireAction.acquire) {
      if (this.isHeld) return this.#holds(hostid) && type === this.#type ? done : conflict;
      this.#type = type;
      this.#holder = hostid;
      return done;
    }
    if (action !== acquireAction.preempt && action !== acquireAction.preemptAndAbort) {
      return invalid;
    }
    const result = this.#preempt(hostid, type, preemptKey);
    if (result.status !== "success") return result;
    return action === acquireAction.preemptAndAbort ? result : { ...result, abortHosts: [] };
  }

  /** Reservation Release, §7.4. `action` is RRELA, `type` RTYPE. */
  release(
    hostid: string,
    action: number,
    type: number,
    isKeyIgnored: boolean,
    currentKey: bigint,
  ): ReservationOutcome {
    const found = this.#registrants.get(hostid);
    if (!found || (!isKeyIgnored && found.key !== currentKey)) return conflict;
    if (action === releaseAction.clear) {
      const others = this.#others(hostid);
      this.#generation = (this.#generation + 1) % 2 ** 32;
      this.#registrants.clear();
      this.#free();
      return outcome("success", [{ type: "reservationPreempted", hosts: others }]);
    }
    if (action !== releaseAction.release) return invalid;
    if (!this.isHeld || !this.#holds(hostid)) return done;
    if (type !== this.#type) return invalid;
    return outcome("success", this.#released(hostid));
  }

  /** What Reservation Report says, §7.5. `cntlidOf` knows the controller that a host has now. */
  report(cntlidOf: (hostid: string) => number) {
    const registrants: Registrant[] = [...this.#registrants].map(([hostid, { key }]) => ({
      cntlid: cntlidOf(hostid),
      rcsts: { holder: this.isHeld && this.#holds(hostid) },
      rkey: key,
      hostid: Uint8Array.from(Buffer.from(hostid, "hex")),
    }));
    return { gen: this.#generation, rtype: this.#type, ptpls: 0, registrants };
  }

  #enter(hostid: string, key: bigint): ReservationOutcome {
    if (this.#registrants.size >= registrantsMax) return outcome("insufficientCapacity");
    this.#registrants.set(hostid, { key });
    this.#generation = (this.#generation + 1) % 2 ** 32;
    return done;
  }

  #isForAll(): boolean {
    return this.#type >= reservationType.writeExclusiveAllRegistrants;
  }

  #holds(hostid: string): boolean {
    return this.#isForAll() ? this.#registrants.has(hostid) : hostid === this.#holder;
  }

  #others(hostid: string): string[] {
    return [...this.#registrants.keys()].filter((other) => other !== hostid);
  }

  #free(): void {
    this.#type = reservationType.none;
    this.#holder = undefined;
  }

  /** The reservation ends; hosts that could write because they are registered are told. */
  #released(by: string): ReservationNotice[] {
    const isShared = this.#type >= reservationType.writeExclusiveRegistrantsOnly;
    this.#free();
    return isShared ? [{ type: "reservationReleased", hosts: this.#others(by) }] : [];
  }

  #remove(hostid: string): ReservationNotice[] {
    const wasHolder = this.isHeld && this.#holds(hostid);
    this.#registrants.delete(hostid);
    if (!wasHolder || (this.#isForAll() && this.#registrants.size > 0)) return [];
    return this.#released(hostid);
  }

  #preempt(hostid: string, type: number, key: bigint): ReservationOutcome {
    const holderKey = this.#holder ? this.#registrants.get(this.#holder)?.key : undefined;
    const takesAll = this.isHeld && this.#isForAll() && key === 0n;
    const takesHeld = this.isHeld && !this.#isForAll() && key === holderKey;
    if (key === 0n && !takesAll) return invalid;
    const preempted = this.#others(hostid).filter(
      (other) => takesAll || this.#registrants.get(other)?.key === key,
    );
    const isOwnReservation = takesHeld && this.#holder === hostid;
    if (preempted.length === 0 && !isOwnReservation && !takesAll) return conflict;
    for (const other of preempted) this.#registrants.delete(other);
    this.#generation = (this.#generation + 1) % 2 ** 32;
    const notices: ReservationNotice[] = [{ type: "registrationPreempted", hosts: preempted }];
    if (takesAll || takesHeld) {
      const isChanged = type !== this.#type;
      this.#type = type;
      this.#holder = hostid;
      if (isChanged) notices.push({ type: "reservationReleased", hosts: this.#others(hostid) });
    }
    return { status: "success", notices, abortHosts: preempted };
  }
}

function outcome(
  status: StatusName,
  notices: readonly ReservationNotice[] = [],
): ReservationOutcome {
  return { status, notices, abortHosts: [] };
}
