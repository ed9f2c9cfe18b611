/** What the finishing modules return: nodes by name, before owners become numbers. */

/** Mode and owner where they are not the usual ones. */
export interface Attributes {
  readonly mode?: number;
  /** Owner and group by name; `root` unless told. */
  readonly owner?: string;
  readonly group?: string;
}

/** One node to be written. */
export type Piece = Attributes & { readonly path: string } & (
    | { readonly type: "file"; readonly text: string }
    | { readonly type: "symlink"; readonly target: string }
    | { readonly type: "directory" }
  );

/** A text file, mode 0o644 unless told. */
export function file(path: string, text: string, attributes: Attributes = {}): Piece {
  return { type: "file", path, text, ...attributes };
}

/** A symbolic link. */
export function symlink(path: string, target: string): Piece {
  return { type: "symlink", path, target };
}

/** A directory, mode 0o755 unless told. */
export function directory(path: string, attributes: Attributes = {}): Piece {
  return { type: "directory", path, ...attributes };
}
