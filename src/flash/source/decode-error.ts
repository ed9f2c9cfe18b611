/** What the complaints of decoders mean, in words for people. */

import { FlashError, reasonOf } from "../error.ts";

/** The error for bytes after the end of packed data. */
export function trailingError(
  { name, format }: { name: string; format: string },
  cause?: unknown,
): FlashError {
  return new FlashError(
    "trailing",
    `Cannot use ${name}: something follows the end of its ${format} data. ` +
      "The file is damaged, or two files were joined; fetch it again.",
    { name, format },
    { cause },
  );
}

/** What a decoder's complaint means. */
export function decodeError(
  error: unknown,
  { name, format }: { readonly name: string; readonly format: string },
): unknown {
  if (error instanceof FlashError || (error instanceof Error && error.name === "AbortError")) {
    return error;
  }
  const reason = reasonOf(error);
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ZSTD_error_frameParameter_windowTooLarge") {
    return new FlashError(
      "format",
      `Cannot unpack ${name}: it needs a larger zstd window than 128 MiB, and as much memory. ` +
        "Allow it with --long.",
      { name, format },
      { cause: error },
    );
  }
  const isTrailing =
    code === "ZSTD_error_prefix_unknown" ||
    /incorrect header check|invalid data after stream|bad magic/.test(reason);
  if (isTrailing) return trailingError({ name, format }, error);
  if (/unexpected end of file|failed to fill whole buffer|ends too early/.test(reason)) {
    return new FlashError(
      "truncated",
      `Cannot use ${name}: its ${format} data ends before its end. Fetch the file again.`,
      { name, format },
      { cause: error },
    );
  }
  return new FlashError(
    "corrupt",
    `Cannot use ${name}: its ${format} data is broken (${reason}). Fetch the file again.`,
    { name, format, reason },
    { cause: error },
  );
}
