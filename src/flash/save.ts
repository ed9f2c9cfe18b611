/** Saving a disk as an image. */

import type { CallOptions } from "../block/index.ts";
import type { Hasher } from "./integrity/hasher.ts";
import { PiecePool, runsOf } from "./piece.ts";
import { Meter, type ProgressEvent } from "./progress.ts";
import { formatSavedNote } from "./saved-note.ts";
import { confirmIdentity, type Target, targetError } from "./target.ts";
import { readAhead } from "./write/read-ahead.ts";

/** Where an image is stored. Nothing has its final name before `commit`. */
export interface SaveOutput extends AsyncDisposable {
  /** Takes the next bytes of the image; `isZero` for a run of zeros that may be left out. */
  put(data: Uint8Array, isZero: boolean): Promise<void>;
  /** Ends the file; the SHA-256 of it as it is stored. */
  finish(): Promise<{ readonly sha256: string; readonly storedBytes: number }>;
  /** Gives the file its name, and puts the checksum and the note beside it. */
  commit(beside: { readonly checksum: string; readonly note: string }): Promise<void>;
  /** Its final name, without the folder. */
  readonly name: string;
}

/** What is saved where. */
export interface SaveRequest extends CallOptions {
  readonly target: Target;
  readonly output: SaveOutput;
  readonly hasher: Hasher;
  readonly clock: () => number;
  readonly onEvent?: (event: ProgressEvent) => void;
}

/** How it ended. */
export interface SaveReport {
  readonly file: string;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  /** Of the file as it is stored. */
  readonly sha256: string;
  readonly blockSizeBytes: number;
  readonly seconds: number;
}

const poolPieces = 24;

/**
 * Reads a whole disk and stores it.
 * @throws FlashError `disk-gone`, `disk-failed`, `identity-changed`, `output`.
 */
export async function saveDisk(request: SaveRequest): Promise<SaveReport> {
  const { target, output, clock, onEvent, signal } = request;
  const { disk, identity } = target;
  const call: CallOptions = signal ? { signal } : {};
  const began = clock();
  const meter = new Meter(clock);
  await confirmIdentity(target, call);
  let doneBytes = 0;
  const all = { fromBytes: 0, toBytes: disk.sizeBytes };
  try {
    for await (const piece of readAhead(disk, all, new PiecePool(poolPieces), call)) {
      const { data = new Uint8Array() } = piece;
      try {
        for (const { from, to, isZero } of runsOf(data)) {
          await output.put(data.subarray(from, to), isZero);
        }
      } finally {
        piece.release();
      }
      doneBytes += data.byteLength;
      if (!onEvent || !meter.isDue) continue;
      onEvent({
        event: "progress",
        target: target.name,
        phase: "read",
        bytes: doneBytes,
        total: disk.sizeBytes,
        ...meter.measure(doneBytes, disk.sizeBytes),
        bottleneck: undefined,
      });
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw targetError(error, target, "read");
  }
  await confirmIdentity(target, call);
  const { sha256, storedBytes } = await output.finish();
  const { sizeBytes, blockSizeBytes, serial, model } = identity;
  const note = formatSavedNote({ version: 1, sizeBytes, blockSizeBytes, serial, model, sha256 });
  await output.commit({ checksum: `${sha256}  ${output.name}\n`, note });
  const seconds = (clock() - began) / 1000;
  return { file: output.name, sizeBytes, storedBytes, sha256, blockSizeBytes, seconds };
}
