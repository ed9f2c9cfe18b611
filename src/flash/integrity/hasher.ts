/** Hashing beside the data path: what the thread is asked, and what its owner offers. */

/** Hashes that run over a stream. */
export type StreamAlgorithm = "sha256" | "blake2b512";

/** What digests are of, of images and of disks: small enough that little is sent in vain. */
export const unitBytes = 64 * 1024;

/** Hashes in another thread. Whatever it is given must stay as it is until the promise settles. */
export interface Hasher extends AsyncDisposable {
  /** Digests of `data` in units of `unitBytes`, as `digestUnits` gives them; the last may be short. */
  digestUnits(data: Uint8Array): Promise<Uint8Array>;
  /** Begins a hash over a stream. */
  begin(algorithm: StreamAlgorithm): HashStream;
}

/** A hash over bytes that come one after the other. */
export interface HashStream {
  /** Resolves when the bytes were taken; waiting is what bounds the memory. */
  update(data: Uint8Array): Promise<void>;
  /** The digest in lower-case hex; the stream ends. */
  digest(): Promise<string>;
}

/** What the thread is asked. */
export type HashRequest =
  | { readonly id: number; readonly kind: "units"; readonly data: Uint8Array }
  | {
      readonly id: number;
      readonly kind: "begin";
      readonly stream: number;
      readonly algorithm: StreamAlgorithm;
    }
  | { readonly id: number; readonly kind: "update"; readonly stream: number; data: Uint8Array }
  | { readonly id: number; readonly kind: "digest"; readonly stream: number };

/** What it answers, in the order of the requests. */
export interface HashAnswer {
  readonly id: number;
  readonly units?: Uint8Array;
  readonly hex?: string;
}
