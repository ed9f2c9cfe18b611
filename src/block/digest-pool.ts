/** What threads that hash are asked, and what they answer. */

/** What a thread begins with. */
export interface DigestThreadData {
  readonly path: string;
  /** Past the page cache, where the file system can do that. */
  readonly isDirect: boolean;
}

/** A range of whole units, but for the last one of all. */
export interface DigestJob {
  readonly id: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly unitBytes: number;
}

/** The answer, or why there is none. */
export type DigestAnswer =
  | { readonly id: number; readonly digests: Uint8Array }
  | { readonly id: number; readonly failure: string };
