/**
 * The box's end of one session: lines come in, calls of handlers and lines go out. The engine is
 * JSONRPCServer; what is here are the bounds, the schemas and the streams. Reading stops while as
 * many calls are under way as a session may have, so a flood holds up nobody but its sender.
 */

import { type JSONRPCRequest, type JSONRPCResponse, JSONRPCServer } from "json-rpc-2.0";
import * as v from "valibot";
import { codeOfNumber, errorNumbers, isAnswerCode, type RpcAnswerCode, RpcError } from "./error.ts";
import {
  answerBytesMax,
  inFlightMax,
  malformedMax,
  requestBytesMax,
  streamsMax,
} from "./limits.ts";
import { LineDecoder } from "./lines.ts";
import {
  type Item,
  itemNotification,
  type MethodName,
  methods,
  type Params,
  type Result,
  type StreamingMethod,
} from "./methods.ts";

/** What a handler knows beside its parameters. */
export interface Call<M extends MethodName> {
  /** Aborted when the call is cancelled or its session ends. */
  readonly signal: AbortSignal;
  /** Aborted when the session ends. */
  readonly session: AbortSignal;
  /** Sends an item; resolves when there is room for the next. */
  readonly send: (item: Item<M>) => Promise<void>;
}

/** What the box does for each method; `cancel` is the session's own. */
export type Handlers = {
  readonly [M in Exclude<MethodName, "cancel">]: (
    params: Params<M>,
    call: Call<M>,
  ) => Promise<Result<M>>;
};

/** Why a session ended. */
export type SessionEnd = "closed" | "line-too-long" | "malformed" | "output";

/** What a session is made from. */
export interface SessionOptions {
  readonly handlers: Handlers;
  /** Takes a line; resolves when there is room for the next, rejects when the other end is gone. */
  readonly write: (line: string) => Promise<void>;
  /** Every call as it ends: `code` is null for one that went well. */
  readonly onCall?: (method: string, code: RpcAnswerCode | null, message: string) => void;
}

/** One session. */
export class RpcSession {
  readonly #options: SessionOptions;
  readonly #server = new JSONRPCServer({ errorListener: () => {} });
  readonly #decoder = new LineDecoder(requestBytesMax);
  readonly #life = new AbortController();
  readonly #streams = new Map<number, AbortController>();
  readonly #ended = Promise.withResolvers<SessionEnd>();
  #inFlight = 0;
  #malformed = 0;
  #wakeReader: (() => void) | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
    for (const name of Object.keys(methods) as MethodName[]) {
      this.#server.addMethod(name, (params: unknown) => this.#call(name, params));
    }
    this.#server.mapErrorToJSONRPCErrorResponse = (id, error) => {
      const { code, message, facts } = boxError(error);
      const data = { code, ...facts };
      return { jsonrpc: "2.0", id, error: { code: errorNumbers[code], message, data } };
    };
  }

  /** Resolves when the session has ended, for whatever reason. */
  get ended(): Promise<SessionEnd> {
    return this.#ended.promise;
  }

  /** Whether nothing is being served. */
  get isIdle(): boolean {
    return this.#inFlight === 0;
  }

  /**
   * The other end says nothing more: streams are cancelled, and the promise resolves when all other
   * calls have been answered or the session has ended.
   */
  async drained(): Promise<void> {
    for (const stream of this.#streams.values()) stream.abort();
    while (!this.isIdle && !this.#life.signal.aborted) await this.#someCallEnds();
  }

  /** Takes what has come; resolves when there is room for more. Never rejects. */
  async receive(chunk: Uint8Array): Promise<void> {
    for (const item of this.#decoder.push(chunk)) {
      if (this.#life.signal.aborted) return;
      if (item.kind === "line") {
        await this.#take(item.text);
      } else if (item.reason === "too-long") {
        await this.#refuse(`A line has more than ${item.bytesMax} bytes.`);
        this.close("line-too-long");
      } else {
        await this.#refuse("A line is not UTF-8.");
      }
    }
  }

  /** Ends the session: everything that it waits for is cancelled. Idempotent. */
  close(reason: SessionEnd = "closed"): void {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    for (const stream of this.#streams.values()) stream.abort();
    this.#wakeReader?.();
    this.#ended.resolve(reason);
  }

  async #take(line: string): Promise<void> {
    const request = readRequest(line);
    if (typeof request === "string") {
      await this.#refuse(request);
      return;
    }
    while (this.#inFlight >= inFlightMax && !this.#life.signal.aborted) await this.#someCallEnds();
    if (this.#life.signal.aborted) return;
    this.#inFlight += 1;
    void this.#serve(request).finally(() => {
      this.#inFlight -= 1;
      this.#wakeReader?.();
    });
  }

  /** Resolves when a call, or the session, has ended; one waits at a time. */
  #someCallEnds(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeReader = resolve;
    });
  }

  async #serve(request: JSONRPCRequest): Promise<void> {
    const response = await this.#server.receive(request);
    if (response === null) return;
    const { error } = response;
    const code = error === undefined ? null : (codeOfNumber(error.code) ?? "internal");
    this.#options.onCall?.(request.method.slice(0, 40), code, error?.message ?? "");
    await this.#send(response);
  }

  /** Runs a method; what it rejects with becomes the answer. */
  async #call(name: MethodName, given: unknown): Promise<unknown> {
    const checked = v.safeParse(methods[name].params, given ?? {});
    if (!checked.success) {
      throw new RpcError("invalid", `Cannot call ${name}: ${wordsOf(checked.issues)}`);
    }
    const params = checked.output;
    if (name === "cancel") return this.#cancel((params as Params<"cancel">).stream);
    const stream = "stream" in params ? this.#openStream(params.stream) : undefined;
    try {
      const signal = stream?.controller.signal ?? this.#life.signal;
      const send = (item: unknown) => this.#sendItem(name as StreamingMethod, stream?.id, item);
      const call = { signal, session: this.#life.signal, send };
      // The schema of `name` made `params`, which no type can say of a name that is not known.
      const handler = this.#options.handlers[name] as (
        params: unknown,
        call: Call<MethodName>,
      ) => Promise<unknown>;
      const result = await handler(params, call);
      return v.parse(methods[name].result, result);
    } catch (error) {
      if (stream?.controller.signal.aborted) throw new RpcError("cancelled", "It was cancelled.");
      throw error;
    } finally {
      if (stream !== undefined) this.#streams.delete(stream.id);
    }
  }

  #openStream(id: number): { readonly id: number; readonly controller: AbortController } {
    if (this.#streams.has(id)) {
      throw new RpcError("invalid", `Stream ${id} is open already. Choose another number.`);
    }
    if (this.#streams.size >= streamsMax) {
      throw new RpcError("limit", `A session has at most ${streamsMax} streams. Cancel one first.`);
    }
    const controller = new AbortController();
    this.#streams.set(id, controller);
    return { id, controller };
  }

  #cancel(id: number): Result<"cancel"> {
    this.#streams.get(id)?.abort();
    return {};
  }

  async #sendItem(
    method: StreamingMethod,
    stream: number | undefined,
    item: unknown,
  ): Promise<void> {
    if (this.#life.signal.aborted) return;
    const checked = v.parse(methods[method].item, item);
    await this.#send({
      jsonrpc: "2.0",
      method: itemNotification,
      params: { stream, item: checked },
    });
  }

  /** Answers a line that is no request; after too many of them the session ends. */
  async #refuse(message: string): Promise<void> {
    const error = { code: errorNumbers.malformed, message, data: { code: "malformed" } };
    await this.#send({ jsonrpc: "2.0", id: null, error });
    this.#malformed += 1;
    if (this.#malformed >= malformedMax) this.close("malformed");
  }

  async #send(message: JSONRPCResponse | JSONRPCRequest): Promise<void> {
    if (this.#life.signal.aborted) return;
    let text = JSON.stringify(message);
    if (text.length > answerBytesMax && "id" in message && message.id !== undefined) {
      const { limit } = errorNumbers;
      const error = { code: limit, message: "The answer is too long.", data: { code: "limit" } };
      text = JSON.stringify({ jsonrpc: "2.0", id: message.id, error });
    }
    try {
      await this.#options.write(`${text}\n`);
    } catch {
      this.close("output");
    }
  }
}

const idLengthMax = 64;

/** A request with an id, or what is wrong with the line. */
function readRequest(line: string): JSONRPCRequest | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return "The line is not JSON.";
  }
  if (Array.isArray(value)) return "Batches are not served: send one request in a line.";
  const parsed = v.safeParse(requestShape, value);
  if (!parsed.success) return "The line is no JSON-RPC 2.0 request with an id.";
  return parsed.output;
}

const requestShape = v.object({
  jsonrpc: v.literal("2.0"),
  id: v.union([v.pipe(v.string(), v.maxLength(idLengthMax)), v.pipe(v.number(), v.safeInteger())]),
  method: v.string(),
  params: v.optional(v.unknown()),
});

/** What is wrong with parameters, in one line. */
function wordsOf(issues: readonly v.BaseIssue<unknown>[]): string {
  const shown = issues.slice(0, 3).map((issue) => {
    const path = v.getDotPath(issue);
    return `${path === null ? "" : `${path}: `}${issue.message}`.slice(0, 300);
  });
  return `${shown.join("; ")}.`;
}

/** A fault of the box's own program shows no more than that there is one. */
function boxError(error: unknown): RpcError & { readonly code: RpcAnswerCode } {
  if (error instanceof RpcError && isBoxCode(error)) return error;
  const fault = new RpcError("internal", "The box's program failed; its journal has more.");
  if (isBoxCode(fault)) return fault;
  throw fault;
}

function isBoxCode(error: RpcError): error is RpcError & { readonly code: RpcAnswerCode } {
  return isAnswerCode(error.code);
}
