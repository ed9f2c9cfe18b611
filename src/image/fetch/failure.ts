/** What to make of a download that did not go well: try again, go elsewhere, or give up. */
import { ImageError } from "../error.ts";

/** How a try ended that did not bring the whole file. */
export type TryFailure =
  /** The server does not have it. */
  | { readonly kind: "gone"; readonly status: number }
  /** Cut, stalled, refused, or the server is in trouble: another try may do. */
  | {
      readonly kind: "transient";
      readonly reason: string;
      readonly cause?: unknown;
      readonly retryAfterMs?: number;
    }
  /** The server answers, and not as a mirror does: another try will not help. */
  | { readonly kind: "refused"; readonly reason: string }
  /** All bytes came, and they are not the wanted ones. */
  | { readonly kind: "wrong"; readonly found: string; readonly wanted: string };

/** What a status other than 200 and 206 means. */
export function failureOfStatus(status: number, retryAfter?: string): TryFailure {
  if (status === 404 || status === 410) {
    return { kind: "gone", status };
  }
  const reason = `the server answered with status ${status}`;
  if (status >= 500 || status === 408 || status === 416 || status === 429) {
    const seconds = Number(retryAfter ?? Number.NaN);
    const hasDelay = Number.isFinite(seconds) && seconds >= 0;
    return {
      kind: "transient",
      reason,
      ...(hasDelay ? { retryAfterMs: Math.min(seconds * 1000, retryAfterMaxMs) } : {}),
    };
  }
  return { kind: "refused", reason };
}

const retryAfterMaxMs = 10_000;

/** What an error of the connection means: always worth another try. */
export function failureOfError(error: unknown): TryFailure {
  return { kind: "transient", reason: reasonOf(error), cause: error };
}

/** The most telling words of an error: its cause's where it has one, its code where no message. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return reasonOf(error.errors[0]);
  }
  if (!(error instanceof Error)) {
    return String(error);
  }
  if (error.message !== "") {
    return error.message;
  }
  return "code" in error ? String(error.code) : error.name;
}

/** What is fetched, for messages. */
export interface Subject {
  /** `the package systemd 257.13-1`. */
  readonly what: string;
  readonly url: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** What to do when the server no longer has it. */
  readonly adviceWhenGone: string;
}

/** The error for a download that is given up. */
export function errorOfFailure(failure: TryFailure, subject: Subject, tries: number): ImageError {
  const { what } = subject;
  const url = shownUrl(subject.url);
  const { host } = new URL(url);
  switch (failure.kind) {
    case "gone":
      return new ImageError(
        "gone",
        `Cannot fetch ${what}: ${url} is not there (status ${failure.status}). ` +
          subject.adviceWhenGone,
        { what, url, host, status: failure.status },
      );
    case "wrong":
      return new ImageError(
        "hash",
        `Cannot use ${what}: ${url} brought ${failure.found}, wanted ${failure.wanted}, ` +
          `in ${tries} tries. Nothing was kept; try another mirror with --mirror.`,
        { what, url, host, found: failure.found, wanted: failure.wanted },
      );
    default:
      return new ImageError(
        "network",
        `Cannot fetch ${what} from ${host}: ${failure.reason} (tried ${tries} times: ${url}). ` +
          "Check the connection and the proxy, or try another mirror with --mirror; " +
          "what was fetched is kept.",
        { what, url, host, reason: failure.reason, tries },
        "cause" in failure ? { cause: failure.cause } : undefined,
      );
  }
}

/** The error for a file operation in the cache that failed. */
export function errorOfStorage(error: unknown, path: string, neededBytes: number): ImageError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new ImageError(
      "disk-full",
      `Cannot write ${path}: the disk is full; ${neededBytes} more bytes are needed. ` +
        "Make room there, or choose another cache folder.",
      { path, neededBytes },
      { cause: error },
    );
  }
  return new ImageError(
    "io",
    `Cannot write ${path}: ${reasonOf(error)}. Check the folder's permissions, or choose ` +
      "another cache folder.",
    { path, systemCode: code },
    { cause: error },
  );
}

/** A URL without the password in it, for messages. */
export function shownUrl(url: string): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  return shown.href;
}
