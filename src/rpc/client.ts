/**
 * The client's end of a session: calls become lines, lines become answers and items. The engine is
 * JSONRPCClient; what is here are types, schemas and streams. It does no I/O and knows no clock.
 */

import { JSONRPCClient, type JSONRPCResponse } from "json-rpc-2.0";
import * as v from "valibot";
import { codeOfNumber, RpcError } from "./error.ts";
import { answerBytesMax } from "./limits.ts";
import { LineDecoder } from "./lines.ts";
import {
  type CallParams,
  type Item,
  itemNotification,
  itemParams,
  type MethodName,
  methods,
  type Result,
  type StreamingMethod,
} from "./methods.ts";

/** What a call may be given beside its parameters. */
export interface ClientCallOptions {
  /** Aborting rejects the call with the signal's reason; a stream is cancelled on the box too. */
  readonly signal?: AbortSignal;
}

/** What is streamed, before anybody has checked it. */
type ItemSink = (item: unknown) => void;

/** One end of a session. */
export class RpcClient {
  readonly #write: (line: string) => void;
  readonly #engine: JSONRPCClient;
  readonly #decoder = new LineDecoder(answerBytesMax);
  readonly #sinks = new Map<number, ItemSink>();
  readonly #over = Promise.withResolvers<never>();
  #end: RpcError | null = null;
  #lastStream = 0;
  #lastId = 0;

  /** @param write sends a line, its line break included, to the box */
  constructor(write: (line: string) => void) {
    this.#write = write;
    this.#engine = new JSONRPCClient((payload) => this.#write(`${JSON.stringify(payload)}\n`));
    this.#over.promise.catch(() => {});
  }

  /** Takes what has come from the box, cut anywhere. */
  receive(chunk: Uint8Array): void {
    for (const item of this.#decoder.push(chunk)) {
      if (item.kind === "fault") {
        this.close(new RpcError("protocol", `The box sent a line that is ${item.reason}.`));
        return;
      }
      this.#take(item.text);
    }
  }

  /** Says that nothing more will come: whatever waits is rejected with `reason`. Idempotent. */
  close(reason: RpcError = new RpcError("closed", "The channel to the box has ended.")): void {
    if (this.#end !== null) return;
    this.#end = reason;
    this.#over.reject(reason);
    this.#engine.rejectAllPendingRequests(reason.message);
    this.#sinks.clear();
  }

  /**
   * Calls a method.
   * @throws RpcError with the box's code, `closed` or `protocol`; the signal's reason.
   */
  async call<M extends Exclude<MethodName, StreamingMethod>>(
    method: M,
    params: CallParams<M>,
    options: ClientCallOptions = {},
  ): Promise<Result<M>> {
    options.signal?.throwIfAborted();
    return await this.#ask(method, params, options.signal);
  }

  /**
   * Calls a method that streams; resolves when the stream has ended. The number of the stream is
   * chosen here.
   * @throws as `call` does, and what `onItem` throws, which cancels the stream.
   */
  async stream<M extends StreamingMethod>(
    method: M,
    params: Omit<CallParams<M>, "stream">,
    onItem: (item: Item<M>) => void,
    options: ClientCallOptions = {},
  ): Promise<Result<M>> {
    const { signal } = options;
    signal?.throwIfAborted();
    this.#lastStream += 1;
    const stream = this.#lastStream;
    const cancel = (): void => {
      if (this.#end === null) void this.#ask("cancel", { stream }).catch(() => {});
    };
    const failed = Promise.withResolvers<never>();
    this.#sinks.set(stream, (item) => {
      const read = parse(method, "item", item) as Item<M>;
      try {
        onItem(read);
      } catch (error) {
        this.#sinks.delete(stream);
        failed.reject(error);
        cancel();
      }
    });
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const whole = this.#ask(method, { ...params, stream } as CallParams<M>, signal);
      return await Promise.race([whole, failed.promise]);
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#sinks.delete(stream);
    }
  }

  async #ask<M extends MethodName>(
    method: M,
    params: CallParams<M>,
    signal?: AbortSignal,
  ): Promise<Result<M>> {
    if (this.#end !== null) throw this.#end;
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      this.#lastId += 1;
      const request = { jsonrpc: "2.0", id: this.#lastId, method, params } as const;
      const answer = this.#engine.requestAdvanced(request);
      const response = await Promise.race([answer, this.#over.promise, aborted.promise]);
      return this.#read(method, response);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  #read<M extends MethodName>(method: M, response: JSONRPCResponse): Result<M> {
    if (this.#end !== null) throw this.#end;
    const { error } = response;
    if (error !== undefined) {
      const parsed = v.safeParse(v.record(v.string(), v.unknown()), error.data);
      throw new RpcError(
        codeOfNumber(error.code) ?? "failed",
        error.message,
        parsed.success ? parsed.output : {},
      );
    }
    return parse(method, "result", response.result) as Result<M>;
  }

  #take(text: string): void {
    const message = readMessage(text);
    if (message === null) {
      this.close(new RpcError("protocol", `The box sent what is no answer: ${text.slice(0, 80)}`));
    } else if (message.kind === "answer") {
      this.#engine.receive(message.response);
    } else {
      const sink = this.#sinks.get(message.stream);
      try {
        sink?.(message.item);
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        this.close(error);
      }
    }
  }
}

type Message =
  | { readonly kind: "answer"; readonly response: JSONRPCResponse }
  | { readonly kind: "item"; readonly stream: number; readonly item: unknown };

const answerShape = v.object({
  jsonrpc: v.literal("2.0"),
  id: v.union([v.number(), v.string()]),
  result: v.optional(v.unknown()),
  error: v.optional(
    v.object({ code: v.number(), message: v.string(), data: v.optional(v.unknown()) }),
  ),
});
const itemShape = v.object({ method: v.literal(itemNotification), params: itemParams });
/** To a line of ours that the box could not read; it has no id to find the call by. */
const complaintShape = v.object({ id: v.null(), error: v.object({ message: v.string() }) });

/** What a line of the box says; null when it makes no sense, or says that we do not. */
function readMessage(text: string): Message | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const item = v.safeParse(itemShape, value);
  if (item.success) return { kind: "item", ...item.output.params };
  if (v.is(complaintShape, value)) return null;
  const answer = v.safeParse(answerShape, value);
  if (!answer.success) return null;
  const { id, result, error } = answer.output;
  return error === undefined
    ? { kind: "answer", response: { jsonrpc: "2.0", id, result } }
    : { kind: "answer", response: { jsonrpc: "2.0", id, error } };
}

/** @throws RpcError `protocol` when the box's value is not what the method gives */
function parse(method: MethodName, what: "result" | "item", value: unknown): unknown {
  const schemas: { readonly result: v.GenericSchema; readonly item?: v.GenericSchema } =
    methods[method];
  const schema = schemas[what];
  const parsed = schema === undefined ? undefined : v.safeParse(schema, value);
  if (parsed?.success) return parsed.output;
  const [issue] = parsed?.issues ?? [];
  const where = issue === undefined ? "" : ` (${v.getDotPath(issue) ?? "it"}: ${issue.message})`;
  throw new RpcError("protocol", `The box's ${what} of ${method} is not what was agreed${where}.`);
}
