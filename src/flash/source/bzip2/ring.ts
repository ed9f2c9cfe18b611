/** What the bzip2 thread and its owner share: two buffers, and who may touch them. */

/** Sizes of the buffers that are shared. */
export const bzip2InputBytes = 256 * 1024;
export const bzip2OutputBytes = 1024 * 1024;

/** In place of a length of input: nothing follows. */
export const bzip2Ended = -1;

/**
 * What the thread says. It then waits: after `input` until control 0 holds a length, after `output`
 * until control 1 is 0.
 */
export type Bzip2Message =
  | { readonly kind: "input" }
  | { readonly kind: "output"; readonly lengthBytes: number }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly reason: string };

/** What the thread is started with. */
export interface Bzip2Data {
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly input: Uint8Array<SharedArrayBuffer>;
  readonly output: Uint8Array<SharedArrayBuffer>;
}
