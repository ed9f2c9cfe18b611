/**
 * Accounts as systemd-sysusers 257 would allocate them (src/sysusers/sysusers.c: groups first, then
 * users, each in order of declaration, free ids from 999 downwards), except that the ids of the
 * lock come before free ones.
 */

import { ImageError } from "../error.ts";
import type { Note } from "./input.ts";
import type { IdSource, SysusersLine } from "./sysusers.ts";

/** A line of `/etc/passwd`, and whether the account is expired. */
export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly gecos: string;
  readonly home: string;
  readonly shell: string;
  readonly locked: boolean;
}

/** A line of `/etc/group`. */
export interface Group {
  readonly name: string;
  readonly gid: number;
  /** Sorted by name. */
  readonly members: readonly string[];
}

/** All accounts, in the order in which sysusers writes them. */
export interface Accounts {
  readonly users: readonly User[];
  readonly groups: readonly Group[];
  /** For the lock: what it held, and what was allocated now. */
  readonly ids: Readonly<Record<string, number>>;
  readonly notes: readonly Note[];
}

/** Owner of a path of the image, for lines that take their id from one. */
export type OwnerOf = (path: string) => { readonly uid: number; readonly gid: number } | undefined;

/**
 * Allocates every declared account.
 *
 * A name in `ids` gets that number again, unless a fixed account has taken it since; no other name
 * ever gets it. Of two lines for one name the first wins, and of two names for one fixed id the
 * second gets another, as in sysusers.
 * @throws ImageError `package` when a wanted group is missing, or ids ran out.
 */
export function allocateAccounts(
  lines: readonly SysusersLine[],
  ids: Readonly<Record<string, number>>,
  ownerOf: OwnerOf,
): Accounts {
  const { users, groups, members, ranges, notes } = sortLines(lines);
  const allocator = new Allocator(ids, ranges, ownerOf, notes);
  for (const line of groups.values()) {
    allocator.addGroup(line.name, line.gid, undefined);
  }
  const made: User[] = [];
  for (const line of users.values()) {
    made.push(allocator.addUser(line, groups));
  }
  const grouped = [...allocator.gids].map(([name, gid]) => ({
    name,
    gid,
    members: [...(members.get(name) ?? [])].sort(),
  }));
  return { users: made, groups: grouped, ids: allocator.chosenIds, notes };
}

type UserLine = Extract<SysusersLine, { type: "user" }>;
type GroupLine = Extract<SysusersLine, { type: "group" }>;
type Range = Extract<SysusersLine, { type: "range" }>;

interface Sorted {
  readonly users: Map<string, UserLine>;
  readonly groups: Map<string, GroupLine>;
  readonly members: Map<string, Set<string>>;
  readonly ranges: readonly Range[];
  readonly notes: Note[];
}

/** First line per name wins; what only an `m` line names is added at the end. */
function sortLines(lines: readonly SysusersLine[]): Sorted {
  const users = new Map<string, UserLine>();
  const groups = new Map<string, GroupLine>();
  const members = new Map<string, Set<string>>();
  const ranges: Range[] = [];
  const notes: Note[] = [];
  const keep = <Line extends { name: string }>(map: Map<string, Line>, line: Line) => {
    const earlier = map.get(line.name);
    if (earlier === undefined) {
      map.set(line.name, line);
    } else if (JSON.stringify(earlier) !== JSON.stringify(line)) {
      const message = `Two different lines declare ${line.name}; the first one is used.`;
      notes.push({ code: "account", subject: line.name, message });
    }
  };
  for (const line of lines) {
    if (line.type === "user") keep(users, line);
    else if (line.type === "group") keep(groups, line);
    else if (line.type === "range") ranges.push(line);
    else members.set(line.group, (members.get(line.group) ?? new Set()).add(line.user));
  }
  const any = { from: "any" } as const;
  for (const [group, names] of members) {
    for (const name of names) {
      if (!users.has(name)) {
        users.set(name, { type: "user", name, uid: any, gecos: "", locked: false });
      }
    }
    if (!users.has(group) && !groups.has(group)) {
      groups.set(group, { type: "group", name: group, gid: any });
    }
  }
  return { users, groups, members, ranges, notes };
}

/** Numbers that are taken, and the search for free ones. */
class Allocator {
  readonly gids = new Map<string, number>();
  readonly #groupOf = new Map<number, string>();
  readonly #userOf = new Map<number, string>();
  readonly #free: Iterator<number>;
  readonly #locked: Readonly<Record<string, number>>;
  readonly #reserved: ReadonlyMap<number, string>;
  readonly #ownerOf: OwnerOf;
  readonly #notes: Note[];
  readonly chosenIds: Record<string, number>;

  constructor(
    locked: Readonly<Record<string, number>>,
    ranges: readonly Range[],
    ownerOf: OwnerOf,
    notes: Note[],
  ) {
    this.#locked = locked;
    this.#reserved = new Map(Object.entries(locked).map(([name, id]) => [id, name]));
    this.#free = freeIds(ranges);
    this.#ownerOf = ownerOf;
    this.#notes = notes;
    this.chosenIds = { ...locked };
  }

  addGroup(name: string, source: IdSource, uid: number | undefined): number {
    const found = this.gids.get(name);
    if (found !== undefined) {
      return found;
    }
    const wanted = this.#wanted(name, source, "gid");
    let gid: number;
    if (wanted !== undefined && !this.#groupOf.has(wanted)) {
      gid = wanted;
    } else if (uid !== undefined && this.#isFree(uid, name, "group")) {
      gid = uid;
    } else {
      gid = this.#allocate(name, "group");
    }
    this.gids.set(name, gid);
    this.#groupOf.set(gid, name);
    return gid;
  }

  addUser(line: UserLine, groups: ReadonlyMap<string, GroupLine>): User {
    const wanted = this.#wanted(line.name, line.uid, "uid");
    const gid = this.#primaryGroup(line, groups);
    let uid: number;
    if (wanted !== undefined && !this.#userOf.has(wanted)) {
      uid = wanted;
    } else if (this.#isFree(gid, line.name, "user")) {
      uid = gid;
    } else {
      uid = this.#allocate(line.name, "user");
    }
    this.#userOf.set(uid, line.name);
    return {
      name: line.name,
      uid,
      gid,
      gecos: line.gecos,
      home: line.home ?? "/",
      shell: line.shell ?? (uid === 0 ? "/bin/sh" : "/usr/sbin/nologin"),
      locked: line.locked,
    };
  }

  /** The user's own group unless the line names another, which must exist by then. */
  #primaryGroup(line: UserLine, groups: ReadonlyMap<string, GroupLine>): number {
    const { group, uid } = line;
    if (group === undefined) {
      const source = groups.get(line.name)?.gid ?? (uid.from === "path" ? uid : { from: "any" });
      return this.addGroup(line.name, source, uid.from === "number" ? uid.id : undefined);
    }
    const gid = "gid" in group ? group.gid : this.gids.get(group.name);
    if (gid === undefined || !this.#groupOf.has(gid)) {
      const wanted = "gid" in group ? String(group.gid) : group.name;
      throw new ImageError(
        "package",
        `Cannot make the account ${line.name}: no sysusers file declares its group ${wanted}. ` +
          "Add the package that does.",
        { user: line.name, group: wanted },
      );
    }
    return gid;
  }

  /** What the line fixes, what a path's owner says, or what the lock holds. */
  #wanted(name: string, source: IdSource, kind: "uid" | "gid"): number | undefined {
    if (source.from === "number") {
      return source.id;
    }
    const owner = source.from === "path" ? this.#ownerOf(source.path) : undefined;
    if (owner !== undefined) {
      return owner[kind];
    }
    const locked = this.#locked[name];
    if (locked !== undefined && (this.#groupOf.has(locked) || this.#userOf.has(locked))) {
      const holder = this.#groupOf.get(locked) ?? this.#userOf.get(locked);
      if (holder !== name) {
        const message = `The lock gives ${name} the id ${locked}, which ${holder} has now.`;
        this.#notes.push({ code: "account", subject: name, message });
        return undefined;
      }
    }
    return locked;
  }

  /** Free for `name`: not taken in its own kind, nor by another name in the other one. */
  #isFree(id: number, name: string, kind: "user" | "group"): boolean {
    const [own, other] =
      kind === "group" ? [this.#groupOf, this.#userOf] : [this.#userOf, this.#groupOf];
    return !own.has(id) && (!other.has(id) || other.get(id) === name);
  }

  #allocate(name: string, kind: "user" | "group"): number {
    for (let next = this.#free.next(); !next.done; next = this.#free.next()) {
      const id = next.value;
      const reservedFor = this.#reserved.get(id) ?? name;
      if (reservedFor === name && this.#isFree(id, name, kind)) {
        this.chosenIds[name] = id;
        return id;
      }
    }
    throw new ImageError("package", `Cannot make the ${kind} ${name}: no free system id is left.`, {
      name,
      kind,
    });
  }
}

/** Candidates from the top: the system range, or what `r` lines give instead. */
function* freeIds(ranges: readonly Range[]): Generator<number> {
  const pools = ranges.length > 0 ? [...ranges] : [{ first: 100, last: 999 }];
  pools.sort((a, b) => b.last - a.last);
  let below = Number.POSITIVE_INFINITY;
  for (const { first, last } of pools) {
    for (let id = Math.min(last, below - 1); id >= first; id--) {
      yield id;
      below = id;
    }
  }
}
