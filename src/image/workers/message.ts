/** What owner and worker say to each other, and how errors cross from one to the other. */

import { ImageError, type ImageErrorCode } from "../error.ts";
import type { SegmentEvent } from "../segment/index.ts";
import type { TaskName } from "./tasks.ts";

/** To a worker, which has nothing else to do: run this. */
export interface TaskMessage {
  readonly name: TaskName;
  readonly input: unknown;
}

/** From a worker. After `done` or `failed` it waits for the next task. */
export type WorkerMessage =
  | { readonly kind: "done"; readonly value: unknown }
  | { readonly kind: "failed"; readonly failure: Failure }
  | {
      readonly kind: "log";
      readonly event: SegmentEvent;
      readonly fields: Readonly<Record<string, unknown>>;
    };

/** An error as plain data: cloning would turn an ImageError into a mere Error. */
export interface Failure {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Of an ImageError. */
  readonly image?: { readonly code: ImageErrorCode; readonly facts: ImageError["facts"] };
  readonly cause?: Failure;
}

/** How many causes of causes are kept. */
const causesMax = 8;

/** `error`, whatever it is, as plain data. */
export function packError(error: unknown, depth = 0): Failure {
  if (!(error instanceof Error)) {
    return { name: "Error", message: String(error), stack: undefined };
  }
  const { name, message, stack, cause } = error;
  return {
    name,
    message,
    stack,
    ...(error instanceof ImageError ? { image: { code: error.code, facts: error.facts } } : {}),
    ...(cause === undefined || depth === causesMax ? {} : { cause: packError(cause, depth + 1) }),
  };
}

/** The error that `packError` was given, as the same class with the same facts. */
export function unpackError({ name, message, stack, image, cause }: Failure): Error {
  const options = cause === undefined ? undefined : { cause: unpackError(cause) };
  const error =
    image === undefined
      ? Object.assign(new Error(message, options), { name })
      : new ImageError(image.code, message, image.facts, options);
  if (stack !== undefined) error.stack = stack;
  return error;
}
