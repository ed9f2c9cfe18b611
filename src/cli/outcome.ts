/** How a command about disks ends: the exit code of an error, and its last JSON line. */

import { BlockError } from "../block/index.ts";
import { FlashError, type FlashErrorCode } from "../flash/index.ts";
import { InitiatorError, type InitiatorErrorCode } from "../initiator/index.ts";
import { printJson, tell } from "./console.ts";
import { type ExitCode, exitCodes, NotFoundError, UsageError } from "./exit.ts";

const flashCodes: Readonly<Partial<Record<FlashErrorCode, ExitCode>>> = {
  mismatch: exitCodes.verifyMismatch,
  refused: exitCodes.refused,
  "identity-changed": exitCodes.refused,
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

/** The exit code that an error stands for. */
export function exitCodeOfError(error: unknown): ExitCode {
  if (error instanceof UsageError) return exitCodes.usage;
  if (error instanceof NotFoundError) return exitCodes.notFound;
  if (error instanceof FlashError) return flashCodes[error.code] ?? exitCodes.failure;
  if (error instanceof InitiatorError) return initiatorCodes[error.code] ?? exitCodes.failure;
  if (error instanceof BlockError && error.code === "gone") return exitCodes.unreachable;
  return exitCodes.failure;
}

/**
 * Runs a command's body and turns what it throws into a message, a result line and an exit code.
 * @param stateAfter what to say about the state that an interruption or a failure leaves.
 */
export async function withOutcome(
  { isJson, signal }: { readonly isJson: boolean; readonly signal: AbortSignal },
  body: () => Promise<ExitCode>,
  stateAfter?: (end: "interrupted" | "failed") => string | undefined,
): Promise<ExitCode> {
  try {
    return await body();
  } catch (error) {
    const isInterrupted = signal.aborted;
    const exitCode = isInterrupted ? exitCodes.interrupted : exitCodeOfError(error);
    const state = stateAfter?.(isInterrupted ? "interrupted" : "failed");
    const reason = isInterrupted ? "Interrupted." : messageOf(error);
    const message = state ? `${reason} ${state}` : reason;
    if (isJson) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      printJson({ event: "result", outcome: "failed", exitCode, code, message });
    }
    tell(`diskomator: ${message}`);
    if (process.env.DISKOMATOR_DEBUG && error instanceof Error) tell(error.stack ?? "");
    return exitCode;
  }
}

/** What an error says to a person. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
