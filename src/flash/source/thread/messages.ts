/** What the decoding thread and its owner say to each other. */

import type { FlashErrorCode } from "../../error.ts";

/** What the thread is started with. */
export interface DecodeThreadData {
  readonly format: "gzip" | "zstd" | "xz";
  readonly name: string;
  readonly zstdWindowLogMax: number | undefined;
  /** Shared: packed bytes are put here, one lot at a time. */
  readonly input: Uint8Array;
}

/** To the thread. */
export type DecodeOrder =
  /** Fill this shared buffer with the next decoded bytes. */
  | { readonly kind: "fill"; readonly target: Uint8Array }
  /** So many packed bytes lie in `input`; 0 at the end. */
  | { readonly kind: "input"; readonly lengthBytes: number }
  /** There are none, since the source failed: the owner knows why. */
  | { readonly kind: "no-input" };

/** From the thread. */
export type DecodeAnswer =
  /** The oldest buffer is filled; it is not full only at the end. */
  | { readonly kind: "filled"; readonly lengthBytes: number }
  /** More packed bytes are wanted, up to so many. */
  | { readonly kind: "want"; readonly lengthBytesMax: number }
  | { readonly kind: "failed"; readonly error: DecodeFailure };

/** A FlashError without its class, which messages lose. */
export interface DecodeFailure {
  readonly code: FlashErrorCode | undefined;
  readonly message: string;
  readonly facts: Readonly<Record<string, unknown>>;
}
