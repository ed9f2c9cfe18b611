/** What finishing is given and what it gives back: values only. */

import type { ApplianceDefinition } from "../definition.ts";
import type { Entry, Ownership } from "../entry.ts";

/** One path of the union of all package trees, after filters. */
export interface ListedNode {
  readonly type: Entry["type"];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** What a symlink or hard link names, as the package wrote it. */
  readonly target?: string;
}

/** Canonical path (as in `Entry.path`) → what lies there. */
export type Listing = ReadonlyMap<string, ListedNode>;

/** A file of the definition (or a bundled program), already read by the caller. */
export interface ExtraFile {
  readonly content: Uint8Array | { readonly symlink: string };
  /** Permission bits; 0o644 unless told. */
  readonly mode?: number;
  /** Owner and group by name; `root` unless told. */
  readonly owner?: string;
  readonly group?: string;
}

/** Everything that finishing looks at. */
export interface FinishInput {
  readonly definition: ApplianceDefinition;
  readonly listing: Listing;
  /** Text of each regular file that `capturePatterns` names, those that filters keep out included. */
  readonly contents: ReadonlyMap<string, string>;
  /** The lock's ids: account name → uid and gid, for accounts that no package fixes. */
  readonly ids: Readonly<Record<string, number>>;
  /** mtime of everything made here, seconds since 1970. */
  readonly epochSeconds: number;
  /** Canonical path → file; wins over what finishing would write there. */
  readonly files: ReadonlyMap<string, ExtraFile>;
}

/** What a note speaks of. */
export type NoteCode =
  | "account"
  | "also"
  | "capture"
  | "generator"
  | "library-path"
  | "mask"
  | "mode"
  | "override"
  | "shipped-link"
  | "unread-file";

/** Something that a person may want to look at; never a reason to stop. */
export interface Note {
  readonly code: NoteCode;
  /** The path, unit, account or package. */
  readonly subject: string;
  readonly message: string;
}

/** The config segment and what goes with it. */
export interface Finished {
  /** Sorted by path, no path twice, every parent directory included. */
  readonly entries: readonly Entry[];
  /** For the lock: what it held, and each account that was allocated now. */
  readonly ids: Readonly<Record<string, number>>;
  /**
   * Paths whose owner or mode a script would have set. Folders that need it are among `entries`;
   * files are to be changed where packages are unpacked.
   */
  readonly modeOverrides: ReadonlyMap<string, Ownership>;
  /** Text of the image's os-release, for the UKI's `.osrel` section too. */
  readonly osRelease: string;
  readonly notes: readonly Note[];
}

/**
 * The files whose text finishing needs, as globs over canonical paths: `*` stays within one
 * directory, `**` crosses them.
 */
export const capturePatterns: readonly string[] = [
  "usr/lib/sysusers.d/*.conf",
  "usr/lib/tmpfiles.d/*.conf",
  "usr/lib/systemd/system/*",
  "usr/lib/systemd/system/*.d/*.conf",
  "usr/lib/udev/rules.d/*.rules",
  "usr/lib/os-release",
  "usr/share/base-files/*",
  "usr/share/libc-bin/nsswitch.conf",
  "usr/share/pam/common-*",
  "usr/share/pam-configs/*",
  "usr/share/readline/inputrc",
  "usr/share/ca-certificates/**",
];
