/** The note beside a backup: what disk it came from, so that a restore can refuse another kind. */

import { FlashError } from "./error.ts";

/** What the note says. */
export interface SavedNote {
  readonly version: 1;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly serial: string;
  readonly model: string;
  /** SHA-256 of the image file as it is stored. */
  readonly sha256: string;
}

/** `IMAGE.disk.json`. */
export const savedNoteSuffix = ".disk.json";

/** The note as a file. */
export function formatSavedNote(note: SavedNote): string {
  return `${JSON.stringify(note, undefined, 2)}\n`;
}

/** @throws FlashError `sidecar` when it is no such note. */
export function parseSavedNote(file: Uint8Array, sidecar: string): SavedNote {
  let found: unknown;
  try {
    found = JSON.parse(Buffer.from(file).toString("utf8"));
  } catch (cause) {
    throw refuse(sidecar, cause);
  }
  if (typeof found !== "object" || found === null) throw refuse(sidecar);
  const { version, sizeBytes, blockSizeBytes, serial, model, sha256 } = found as Record<
    string,
    unknown
  >;
  const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);
  if (
    version !== 1 ||
    !isWhole(sizeBytes) ||
    !isWhole(blockSizeBytes) ||
    typeof serial !== "string" ||
    typeof model !== "string" ||
    typeof sha256 !== "string"
  ) {
    throw refuse(sidecar);
  }
  return { version, sizeBytes, blockSizeBytes, serial, model, sha256 };
}

function refuse(sidecar: string, cause?: unknown): FlashError {
  return new FlashError(
    "sidecar",
    `Cannot use ${sidecar}: it is no note of a backup. Remove it to go on without.`,
    { sidecar },
    { cause },
  );
}
