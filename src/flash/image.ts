/** An image that is about to be written: what is known of it, and its pieces. */

import type { CallOptions } from "../block/index.ts";
import type { Piece, PiecePool } from "./piece.ts";
import type { PackedFormat } from "./source/format.ts";

/** What is known of an image before its body is read. */
export interface ImageFacts {
  /** Its name without the folder; `standard input` for a stream. */
  readonly name: string;
  /** How it is packed, from the outside in; empty for a raw one. */
  readonly packing: readonly Exclude<PackedFormat, "raw">[];
  /** Length of the image itself; undefined until its end is seen. */
  readonly sizeBytes: number | undefined;
  /** Least length, where the length is not known: what its partition table speaks of. */
  readonly sizeBytesMin: number;
  /** What the length probably is, for progress: by the packed data's own words. */
  readonly expectedBytes: number | undefined;
  /** Bytes that are not holes, by a block map. */
  readonly dataBytes: number | undefined;
  /** Sector size that its partition table is made for; undefined without one. */
  readonly sectorSizeBytes: number | undefined;
  readonly diskGuid: string | undefined;
  /** One line for people. */
  readonly contents: string;
  /** What is checked while it is read: names of the files beside it. */
  readonly checkedBy: readonly string[];
  readonly notes: readonly string[];
  /** Length of a block when it was saved, by the file beside a backup. */
  readonly savedBlockBytes: number | undefined;
  /** Of a file of this machine, as a disk's identity has it. */
  readonly place?: string;
}

/** Where the time goes while an image is read; totals in ms. */
export interface ReadTimes {
  /** Waiting for the file, the server or the pipe. */
  sourceMs: number;
  /** Waiting for the next decoded bytes, the source's share included. */
  readMs: number;
  /** Waiting for a free buffer, which the disks hold. */
  bufferMs: number;
}

/** A piece of an image whose digests are known. */
export interface DigestedPiece {
  /** Without its data, unless it is zeros. */
  readonly piece: Piece;
  /** As `digestUnits` gives them, in units of `unitBytes`. */
  readonly digests: Uint8Array;
}

/** An image of which any part can be read, and whose file is all that there is to check. */
export interface RandomImage {
  /**
   * All pieces in their order, hashed by threads or remembered from the last time. It ends well only
   * when the file is the same as at the beginning.
   * @throws FlashError `source-missing` or `source-changed`
   */
  digested(options?: CallOptions): AsyncGenerator<DigestedPiece>;
  /** Fills `target`. @throws FlashError as sources do, `truncated` when the image ends before. */
  readAt(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<void>;
}

/** An open image. Its pieces can be had once; open it again for another pass. */
export interface Image extends AsyncDisposable {
  readonly facts: ImageFacts;
  /** The first piece's bytes, as far as the image goes. */
  readonly head: Uint8Array;
  readonly times: ReadTimes;
  /** Tells this state of its file from any other; undefined where nothing does. */
  readonly state?: string | undefined;
  /** Where any part can be read. */
  readonly random?: RandomImage;
  /** Bytes of the file as it is stored, read so far. */
  readonly storedBytes: number;
  /**
   * All pieces in their order. Whoever iterates releases each.
   * The iteration ends well only when all checks came out well.
   * @throws FlashError as sources, decoders and checks do.
   */
  pieces(pool: PiecePool, options?: CallOptions): AsyncGenerator<Piece>;
}

/** Opens the same image once more; undefined for one that comes only once, as from a pipe. */
export type ReopenImage = (options?: CallOptions) => Promise<Image>;
