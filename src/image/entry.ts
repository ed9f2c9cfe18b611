/** One file, directory or link of the tree that becomes the initrd. */

/** Owner and mode of one path, numeric. */
export interface Ownership {
  /** Permission bits, set-id and sticky bits included: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What all kinds share. */
interface EntryBase extends Ownership {
  /**
   * Canonical path without a leading slash or `.`: `usr/bin/sh`. The aliases of usrmerge
   * (`bin`, `sbin`, `lib`, `lib32`, `lib64`) never begin a path; they are symlinks themselves.
   */
  readonly path: string;
  /** Seconds since 1970; at most the build's epoch. */
  readonly mtimeSeconds: number;
}

/** A node of the tree; a hard link names another path of the same segment. */
export type Entry =
  | (EntryBase & { readonly type: "file"; readonly data: Uint8Array })
  | (EntryBase & { readonly type: "directory" })
  | (EntryBase & { readonly type: "symlink"; readonly target: string })
  | (EntryBase & { readonly type: "hardlink"; readonly target: string })
  | (EntryBase & {
      readonly type: "character" | "block";
      readonly major: number;
      readonly minor: number;
    });
