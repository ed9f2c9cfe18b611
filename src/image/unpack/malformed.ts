/** The one way in which a package or archive that cannot be read is reported. */

import { ImageError } from "../error.ts";

/** What did not fit, where, for the message and for programs. */
export interface Misfit {
  /** The file that is being read, as the user knows it: `systemd_257.13-1_amd64.deb`. */
  readonly source: string;
  /** Which part of it: `the tar header at offset 512`. */
  readonly part: string;
  readonly found: string;
  readonly wanted: string;
  readonly cause?: unknown;
}

/** An ImageError `package` whose facts are the misfit. */
export function malformed({ source, part, found, wanted, cause }: Misfit): ImageError {
  return new ImageError(
    "package",
    `Cannot unpack ${source}: ${part} is ${found}, but should be ${wanted}. ` +
      "Remove the file and build again, so that it is fetched afresh.",
    { source, part, found, wanted },
    cause === undefined ? undefined : { cause },
  );
}
