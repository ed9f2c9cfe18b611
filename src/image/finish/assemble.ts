/** Pieces and extra files → entries: owners as numbers, parents added, sorted. */

import assert from "node:assert/strict";
import type { Entry, Ownership } from "../entry.ts";
import { ImageError } from "../error.ts";
import type { Accounts } from "./accounts.ts";
import type { ExtraFile, Listing, Note } from "./input.ts";
import { nearSentence } from "./near.ts";
import type { Attributes, Piece } from "./piece.ts";

/** What entries are made from and beside. */
export interface AssembleInput {
  readonly pieces: readonly Piece[];
  /** Win over pieces of the same path. */
  readonly files: ReadonlyMap<string, ExtraFile>;
  readonly listing: Listing;
  readonly accounts: Accounts;
  /** Modes that packages get; a directory emitted again must say the same. */
  readonly overrides: ReadonlyMap<string, Ownership>;
  readonly epochSeconds: number;
}

const aliases = ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];
const text = new TextEncoder();

/**
 * All entries, parents before children.
 * @throws ImageError `definition` for a file that cannot lie where the definition puts it, or whose
 *   owner does not exist.
 */
export function assembleEntries(input: AssembleInput): { entries: Entry[]; notes: Note[] } {
  const owners = ownerResolver(input.accounts);
  const entries = new Map<string, Entry>();
  const notes: Note[] = [];
  for (const piece of input.pieces) {
    assert(!entries.has(piece.path), `finishing writes ${piece.path} once`);
    entries.set(piece.path, pieceEntry(piece, owners, input));
  }
  for (const [path, extra] of input.files) {
    checkPath(path);
    if (entries.get(path)?.type === "file") {
      const message = `The definition's own ${path} takes the place of the builder's.`;
      notes.push({ code: "override", subject: path, message });
    }
    entries.set(path, extraEntry(path, extra, owners, input.epochSeconds));
  }
  for (const path of [...entries.keys()]) {
    addParents(path, entries, input);
  }
  const sorted = [...entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  return { entries: sorted, notes };
}

type Owners = (path: string, attributes: Attributes) => { uid: number; gid: number };

function ownerResolver(accounts: Accounts): Owners {
  const uids = new Map(accounts.users.map((user) => [user.name, user.uid]));
  const gids = new Map(accounts.groups.map((group) => [group.name, group.gid]));
  const resolve = (path: string, kind: string, name: string, ids: ReadonlyMap<string, number>) => {
    const id = ids.get(name);
    if (id === undefined) {
      const near = nearSentence(name, ids.keys());
      throw new ImageError(
        "definition",
        `Cannot give ${path} to the ${kind} ${name}: no package declares it.${near}`,
        { path, [kind]: name },
      );
    }
    return id;
  };
  return (path, { owner = "root", group = "root" }) => ({
    uid: resolve(path, "user", owner, uids),
    gid: resolve(path, "group", group, gids),
  });
}

function pieceEntry(piece: Piece, owners: Owners, input: AssembleInput): Entry {
  const base = {
    path: piece.path,
    ...owners(piece.path, piece),
    mtimeSeconds: input.epochSeconds,
  };
  switch (piece.type) {
    case "file":
      return { ...base, type: "file", mode: piece.mode ?? 0o644, data: text.encode(piece.text) };
    case "symlink":
      return { ...base, type: "symlink", mode: 0o777, target: piece.target };
    case "directory":
      return { ...base, ...directoryAttributes(piece, input), type: "directory" };
  }
}

/** A directory that packages have keeps what they gave it unless the piece says otherwise. */
function directoryAttributes(
  piece: Piece,
  { listing, overrides }: AssembleInput,
): { mode: number } & Partial<Ownership> {
  if (piece.mode !== undefined) {
    return { mode: piece.mode };
  }
  const known = overrides.get(piece.path) ?? listing.get(piece.path);
  return known === undefined
    ? { mode: 0o755 }
    : { mode: known.mode, uid: known.uid, gid: known.gid };
}

function extraEntry(path: string, extra: ExtraFile, owners: Owners, mtimeSeconds: number): Entry {
  const base = { path, ...owners(path, extra), mtimeSeconds };
  return extra.content instanceof Uint8Array
    ? { ...base, type: "file", mode: extra.mode ?? 0o644, data: extra.content }
    : { ...base, type: "symlink", mode: 0o777, target: extra.content.symlink };
}

/** Canonical, and below no alias of merged /usr. */
function checkPath(path: string): void {
  const parts = path.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new ImageError("definition", `Cannot put a file at "${path}": write it as etc/name.`, {
      path,
    });
  }
  if (aliases.includes(parts[0]!)) {
    throw new ImageError(
      "definition",
      `Cannot put a file at ${path}: /${parts[0]} is a link to usr/${parts[0]}. Write usr/${path}.`,
      { path },
    );
  }
}

/** Every directory above a path, as the packages have it, else root's with 0o755. */
function addParents(path: string, entries: Map<string, Entry>, input: AssembleInput): void {
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    const parent = path.slice(0, end);
    const made = entries.get(parent);
    const type = made?.type ?? input.listing.get(parent)?.type ?? "directory";
    if (type !== "directory") {
      throw new ImageError(
        "definition",
        `Cannot put a file at ${path}: ${parent} is a ${type}, not a directory.`,
        { path, parent, type },
      );
    }
    if (made === undefined) {
      const known = input.overrides.get(parent) ?? input.listing.get(parent);
      const { mode = 0o755, uid = 0, gid = 0 } = known ?? {};
      const mtimeSeconds = input.epochSeconds;
      entries.set(parent, { type: "directory", path: parent, mode, uid, gid, mtimeSeconds });
    }
  }
}
