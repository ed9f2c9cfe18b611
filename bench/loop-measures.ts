/** What `loop.ts` asks of a box, whatever it runs on. */

import type { Run } from "./timing.ts";

export const mebibyte = 2 ** 20;
/** Of a comparison. */
export const unitBytes = 64 * 1024;
/** Beyond the image, a disk has this. */
export const spareBytes = 64 * mebibyte;

/** What a box's disk was written, as somebody counts who has no part in the flash. */
export interface Written {
  readonly bytes: number;
  /** By Write Zeroes; undefined where that is not counted apart. */
  readonly zeroBytes?: number;
}

/** A box with one disk, and its user. */
export interface MeasuredBox extends AsyncDisposable {
  /** Where it is, for the first line. */
  readonly about: string;
  /** Makes the disk all zeros. */
  empty(): Promise<void>;
  written(): Promise<Written>;
  /** A whole process of `diskomator flash`; `last` is its last line. */
  flash(image: string): Promise<{ readonly run: Run; readonly last: FlashLine }>;
  /** Has the box hash so many bytes. */
  hash(lengthBytes: number): Promise<void>;
  /** SHA-256 by the `openssl` program on what the box hashes with, in bytes a second. */
  opensslRate?(): Promise<number>;
}

/** What is looked at of a flash's result. */
export interface FlashLine {
  readonly results?: readonly { readonly mode?: { readonly mode: string } }[];
}
