/**
 * Who may use which disks, for how long, and with which keys. Pure: time and keys come from outside.
 * A host has one set of secrets as long as it has any grant; they are made anew after that and at
 * every boot.
 */
import type { GrantMode } from "../rpc/index.ts";

/** What a host proves itself by, as text. */
export interface HostSecrets {
  /** `DHHC-1:…`, the host's and the controller's. */
  readonly host: string;
  readonly controller: string;
  /** `NVMeTLSkey-1:…`. */
  readonly tlsPsk: string;
}

/** A key of TLS for one host and one subsystem. */
export interface GrantKey {
  /** NQN of the disk, as `Grant.nqns` has it. */
  readonly nqn: string;
  readonly identity: string;
  /** In Base64. */
  readonly key: string;
}

/** Makes keys. It is loaded when the first grant is asked for: making them takes much program. */
export interface KeyMaker {
  makeSecrets(): HostSecrets;
  makeKey(secrets: HostSecrets, hostnqn: string, diskNqn: string): GrantKey;
  /** Grants that there may be at once. */
  readonly grantsMax: number;
}

/** One grant. */
export interface Grant {
  readonly id: string;
  readonly hostnqn: string;
  /** NQNs of the disks, as they are exported to everybody in an open box. */
  readonly nqns: readonly string[];
  readonly mode: GrantMode;
  readonly purpose: string;
  /** ISO 8601. */
  readonly since: string;
  /** On the monotonic clock and in words; null for one that does not end by itself. */
  readonly expiresMs: number | null;
  readonly expiresAt: string | null;
  readonly overlayBytes: number | null;
  /** With `rw`: others that have it so, too, may write at the same time. */
  readonly shared: boolean;
  /** The session that it hangs on has ended: whoever else asks for its disks gets them. */
  readonly orphaned: boolean;
  /** For each disk; they are secret. */
  readonly keys: readonly GrantKey[];
}

/** What is asked for. */
export interface GrantRequest {
  readonly hostnqn: string;
  readonly nqns: readonly string[];
  readonly mode: GrantMode;
  readonly seconds: number | null;
  readonly purpose: string;
  readonly overlayBytes: number | null;
  readonly shared: boolean;
  /** NQNs of the same disks on other cables; none unless told. */
  readonly twins?: readonly string[];
}

/** Both clocks at one moment. */
export interface Moment {
  readonly monotonicMs: number;
  readonly date: Date;
}

/** Why there is no grant. */
export type GrantFault =
  | { readonly fault: "limit" }
  /** The host has the disk already, in another mode. */
  | { readonly fault: "other-mode"; readonly nqn: string; readonly grant: Grant }
  /**
   * One of two hosts may write to the disk: nobody else is let in to it, but who writes to it shared
   * while all of them do. The two targets of a box do not see each other's writes.
   */
  | { readonly fault: "in-use"; readonly nqn: string; readonly grant: Grant };

/** All that is needed to go on after a restart of the daemon. It holds secrets. */
export interface GrantMemory {
  readonly lastId: number;
  readonly grants: readonly Grant[];
  readonly secrets: readonly (readonly [hostnqn: string, secrets: HostSecrets])[];
}

/** A memory of nothing. */
export const noGrants: GrantMemory = { lastId: 0, grants: [], secrets: [] };

/** The grants of a box. */
export class Grants {
  readonly #grants: Map<string, Grant>;
  readonly #secrets: Map<string, HostSecrets>;
  #lastId: number;

  constructor(memory: GrantMemory = noGrants) {
    this.#lastId = memory.lastId;
    this.#grants = new Map(memory.grants.map((grant) => [grant.id, grant]));
    this.#secrets = new Map(memory.secrets);
  }

  /** By id, oldest first. */
  get list(): readonly Grant[] {
    return [...this.#grants.values()];
  }

  /** What must be remembered. */
  get memory(): GrantMemory {
    return { lastId: this.#lastId, grants: this.list, secrets: [...this.#secrets] };
  }

  /** The keys of a host that has a grant. */
  secretsOf(hostnqn: string): HostSecrets | undefined {
    return this.#secrets.get(hostnqn);
  }

  /** The grant of the same host, disks and mode. */
  find({ hostnqn, mode, nqns }: Pick<GrantRequest, "hostnqn" | "mode" | "nqns">) {
    const isSame = (one: Grant) => one.hostnqn === hostnqn && one.mode === mode;
    return this.list.find((one) => isSame(one) && sameSet(one.nqns, nqns));
  }

  /** Makes a grant, or prolongs the one that has the same host, disks and mode. */
  add(request: GrantRequest, now: Moment, maker: KeyMaker): Grant | GrantFault {
    const own = this.list.filter(({ hostnqn }) => hostnqn === request.hostnqn);
    for (const grant of own) {
      const nqn = commonDisk(grant, request);
      if (nqn === undefined) continue;
      if (grant.mode !== request.mode) return { fault: "other-mode", nqn, grant };
    }
    const rivals = this.#rivalsOf(request);
    const rival = rivals.find(({ grant }) => !grant.orphaned) ?? rivals[0];
    if (rival !== undefined) return { fault: "in-use", ...rival };
    const same = this.find(request);
    if (same === undefined && this.#grants.size >= maker.grantsMax) return { fault: "limit" };
    const secrets = this.#secrets.get(request.hostnqn) ?? maker.makeSecrets();
    this.#secrets.set(request.hostnqn, secrets);
    if (same === undefined) this.#lastId += 1;
    const { hostnqn, nqns, mode, purpose, seconds, overlayBytes, shared } = request;
    const lastsMs = seconds === null ? null : seconds * 1000;
    const grant: Grant = {
      id: same?.id ?? `g${this.#lastId}`,
      hostnqn,
      nqns,
      mode,
      purpose,
      overlayBytes,
      shared,
      orphaned: false,
      keys: same?.keys ?? nqns.map((nqn) => maker.makeKey(secrets, hostnqn, nqn)),
      since: same?.since ?? now.date.toISOString(),
      expiresMs: lastsMs === null ? null : now.monotonicMs + lastsMs,
      expiresAt: lastsMs === null ? null : new Date(now.date.getTime() + lastsMs).toISOString(),
    };
    this.#grants.set(grant.id, grant);
    return grant;
  }

  /**
   * Grants that have to be taken back before a request can be granted, where all that is in its way are
   * grants whose sessions have ended.
   */
  orphansInTheWay(request: GrantRequest): readonly Grant[] {
    const rivals = this.#rivalsOf(request).map(({ grant }) => grant);
    return rivals.every(({ orphaned }) => orphaned) ? rivals : [];
  }

  #rivalsOf(request: GrantRequest): readonly { readonly nqn: string; readonly grant: Grant }[] {
    const nqns = [...request.nqns, ...(request.twins ?? [])];
    return this.list.flatMap((grant) => {
      const nqn = commonDisk(grant, { nqns });
      const isOther = grant.hostnqn !== request.hostnqn;
      return nqn !== undefined && isOther && !canMeet(grant, request) ? [{ nqn, grant }] : [];
    });
  }

  /** Takes a grant back; null when there is none of that id. */
  revoke(id: string): Grant | null {
    const grant = this.#grants.get(id);
    if (grant === undefined) return null;
    this.#grants.delete(id);
    if (!this.list.some(({ hostnqn }) => hostnqn === grant.hostnqn)) {
      this.#secrets.delete(grant.hostnqn);
    }
    return grant;
  }

  /**
   * Its session has ended: it gives way to others, and ends at a moment, unless it ends before; false
   * when there is none of that id.
   */
  orphan(id: string, { monotonicMs, date }: Moment): boolean {
    const grant = this.#grants.get(id);
    if (grant === undefined) return false;
    const endsBefore = grant.expiresMs !== null && grant.expiresMs <= monotonicMs;
    const end = endsBefore ? {} : { expiresMs: monotonicMs, expiresAt: date.toISOString() };
    this.#grants.set(id, { ...grant, ...end, orphaned: true });
    return true;
  }

  /** Takes back what has expired. */
  expire(monotonicMs: number): readonly Grant[] {
    const over = this.list.filter(
      ({ expiresMs }) => expiresMs !== null && expiresMs <= monotonicMs,
    );
    for (const { id } of over) this.revoke(id);
    return over;
  }

  /** When the next grant expires, on the monotonic clock. */
  get nextExpiryMs(): number | null {
    const times = this.list.flatMap(({ expiresMs }) => expiresMs ?? []);
    return times.length === 0 ? null : Math.min(...times);
  }
}

/** Whether what `add` gave is a grant. */
export function isGrant(given: Grant | GrantFault): given is Grant {
  return "id" in given;
}

type Wanted = Pick<GrantRequest, "nqns" | "mode" | "shared">;

function commonDisk(one: Pick<Wanted, "nqns">, other: Pick<Wanted, "nqns">): string | undefined {
  return one.nqns.find((nqn) => other.nqns.includes(nqn));
}

/** Whether two hosts may have one disk at the same time. */
function canMeet(one: Wanted, other: Wanted): boolean {
  if (one.mode !== "rw" && other.mode !== "rw") return true;
  return one.mode === other.mode && one.shared && other.shared;
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((one) => b.includes(one));
}
