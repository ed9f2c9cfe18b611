/** How a command about disks ends: the exit code of an error, and its last JSON line. */

import type { BlockError } from "../block/index.ts";
import type { BoxErrorCode } from "../box/index.ts";
import type { FlashErrorCode } from "../flash/index.ts";
import type { InitiatorErrorCode } from "../initiator/index.ts";
import type { RpcErrorCode } from "../rpc/index.ts";
import { printJson, tell } from "./console.ts";
import { type ExitCode, exitCodes, NotFoundError, RefusedError, UsageError } from "./exit.ts";

const flashCodes: Readonly<Partial<Record<FlashErrorCode, ExitCode>>> = {
  mismatch: exitCodes.verifyMismatch,
  refused: exitCodes.refused,
  "identity-changed": exitCodes.refused,
  "not-alone": exitCodes.refused,
  network: exitCodes.unreachable,
  "disk-gone": exitCodes.unreachable,
};

const initiatorCodes: Readonly<Partial<Record<InitiatorErrorCode, ExitCode>>> = {
  "no-namespace": exitCodes.notFound,
  "namespace-replaced": exitCodes.refused,
  "connect-refused": exitCodes.unreachable,
  unreachable: exitCodes.unreachable,
  timeout: exitCodes.unreachable,
  lost: exitCodes.unreachable,
  closed: exitCodes.unreachable,
};

const boxCodes: Readonly<Partial<Record<BoxErrorCode, ExitCode>>> = {
  "no-such-box": exitCodes.notFound,
  "no-such-disk": exitCodes.notFound,
  "ambiguous-box": exitCodes.refused,
  "ambiguous-disk": exitCodes.refused,
  "not-ours": exitCodes.refused,
  "host-key": exitCodes.refused,
  unreachable: exitCodes.unreachable,
  timeout: exitCodes.unreachable,
};

const rpcCodes: Readonly<Partial<Record<RpcErrorCode, ExitCode>>> = {
  "no-such-disk": exitCodes.notFound,
  "not-exported": exitCodes.notFound,
  "read-only": exitCodes.refused,
  refused: exitCodes.refused,
  limit: exitCodes.refused,
  closed: exitCodes.unreachable,
};

const blockCodes: Readonly<Partial<Record<BlockError["code"], ExitCode>>> = {
  gone: exitCodes.unreachable,
};

/** By the class's name: to know an error, a command need not load the part that it comes from. */
const codesOfParts: Readonly<Record<string, Readonly<Record<string, ExitCode>>>> = {
  FlashError: flashCodes,
  InitiatorError: initiatorCodes,
  BoxError: boxCodes,
  RpcError: rpcCodes,
  BlockError: blockCodes,
};

/** The exit code that an error stands for. */
export function exitCodeOfError(error: unknown): ExitCode {
  if (error instanceof UsageError) return exitCodes.usage;
  if (error instanceof NotFoundError) return exitCodes.notFound;
  if (error instanceof RefusedError) return exitCodes.refused;
  if (!(error instanceof Error) || !("code" in error)) return exitCodes.failure;
  return codesOfParts[error.name]?.[String(error.code)] ?? exitCodes.failure;
}

/** Of several boxes: a code of its own when only some failed, as `flash` has it. */
export function exitCodeOfAll(codes: readonly ExitCode[]): ExitCode {
  const failed = codes.filter((code) => code !== exitCodes.ok);
  const [first] = failed;
  if (first === undefined) return exitCodes.ok;
  if (failed.length < codes.length) return exitCodes.partial;
  return failed.every((code) => code === first) ? first : exitCodes.failure;
}

/**
 * Runs a command's body and turns what it throws into a message, a result line and an exit code.
 * @param stateAfter what to say about the state that an interruption or a failure leaves.
 */
export async function withOutcome<T extends number>(
  { isJson, signal }: { readonly isJson: boolean; readonly signal: AbortSignal },
  body: () => Promise<T>,
  stateAfter?: (end: "interrupted" | "failed") => string | undefined,
): Promise<T | ExitCode> {
  try {
    return await body();
  } catch (error) {
    return reportFailure(error, { isJson, signal, stateAfter });
  }
}

/** Says that a command has failed, or was interrupted: a message, a result line, an exit code. */
export function reportFailure(
  error: unknown,
  {
    isJson,
    signal,
    stateAfter,
  }: {
    readonly isJson: boolean;
    readonly signal: AbortSignal;
    readonly stateAfter?: ((end: "interrupted" | "failed") => string | undefined) | undefined;
  },
): ExitCode {
  const isInterrupted = signal.aborted;
  const exitCode = isInterrupted ? exitCodes.interrupted : exitCodeOfError(error);
  const state = stateAfter?.(isInterrupted ? "interrupted" : "failed");
  const reason = isInterrupted ? "Interrupted." : messageOf(error);
  const message = state ? `${reason.replace(/(\w)$/, "$1.")} ${state}` : reason;
  if (isJson) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    printJson({ event: "result", outcome: "failed", exitCode, code, message });
  }
  tell(`diskomator: ${message}`);
  if (process.env.DISKOMATOR_DEBUG && error instanceof Error) tell(error.stack ?? "");
  return exitCode;
}

/** What an error says to a person. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  // What @napi-rs/lzma says when npm, on an older Node, has left its binary out without a word.
  return message.startsWith("Cannot find native binding")
    ? "Cannot load @napi-rs/lzma, which unpacks xz: npm has not installed its binary for this " +
        "machine. It leaves it out on a Node older than 22.20: install again with npm on Node 24."
    : message;
}
