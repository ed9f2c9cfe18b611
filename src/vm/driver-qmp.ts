/** A QMP client over a connected stream. */

import type { Duplex } from "node:stream";
import { Bell, type WaitOptions, waitUntil } from "./driver-wait.ts";
import { VmError } from "./error.ts";
import { encodeQmpCommand, QmpDecoder, type QmpEvent, type QmpMessage } from "./qmp.ts";

/** What a machine's user may do over QMP. */
export interface Qmp {
  /**
   * Runs a command.
   * @returns what QEMU returned, by QEMU's own schema.
   * @throws VmError `qmp` when QEMU refuses, `exited` when it is gone, `timeout`.
   */
  execute(
    command: string,
    args?: Readonly<Record<string, unknown>>,
    options?: WaitOptions,
  ): Promise<unknown>;
  /** Waits for an event that comes after this call. */
  waitForEvent(
    name: string,
    where?: (data: QmpEvent["data"]) => boolean,
    options?: WaitOptions,
  ): Promise<QmpEvent>;
  /** Hears every event until the returned function is called. */
  onEvent(listener: (event: QmpEvent) => void): () => void;
}

const commandTimeoutMsDefault = 60_000;

type Reply = Extract<QmpMessage, { kind: "return" | "error" }>;

/** See `Qmp`. Usable once `negotiate` has returned. */
export class QmpClient implements Qmp {
  readonly #stream: Duplex;
  readonly #bell = new Bell();
  readonly #replies = new Map<number, Reply | undefined>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #greeted = false;
  #failure: VmError | undefined;
  #nextId = 1;

  constructor(stream: Duplex) {
    this.#stream = stream;
    const decoder = new QmpDecoder();
    stream.on("data", (chunk: Uint8Array) => {
      for (const message of decoder.push(chunk)) this.#take(message);
      this.#bell.ring();
    });
    // The cause of a broken stream is told by whoever ends the machine, through `fail`.
    stream.on("error", () => {});
  }

  /** Waits for the greeting and asks for no capabilities, which opens command mode. */
  async negotiate(options: WaitOptions = {}): Promise<void> {
    await this.#wait(() => this.#greeted || undefined, "QEMU's QMP greeting", options);
    await this.execute("qmp_capabilities", undefined, options);
  }

  async execute(
    command: string,
    args?: Readonly<Record<string, unknown>>,
    options: WaitOptions = {},
  ): Promise<unknown> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = this.#nextId++;
    this.#replies.set(id, undefined);
    try {
      this.#stream.write(encodeQmpCommand(id, command, args));
      const what = `QEMU's answer to ${command}`;
      const reply = await this.#wait(() => this.#replies.get(id), what, options);
      if (reply.kind === "return") return reply.value;
      const { errorClass, description } = reply;
      throw new VmError("qmp", `QEMU refused ${command}: ${description}`, {
        command,
        args,
        errorClass,
        description,
      });
    } finally {
      this.#replies.delete(id);
    }
  }

  async waitForEvent(
    name: string,
    where: (data: QmpEvent["data"]) => boolean = () => true,
    options: WaitOptions = {},
  ): Promise<QmpEvent> {
    let found: QmpEvent | undefined;
    const stop = this.onEvent((event) => {
      if (event.event === name && where(event.data)) found ??= event;
    });
    try {
      return await this.#wait(() => found, `the event ${name}`, options);
    } finally {
      stop();
    }
  }

  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends all that waits, and refuses what comes later. */
  fail(error: VmError): void {
    this.#failure ??= error;
    this.#bell.ring();
  }

  #take(message: QmpMessage): void {
    switch (message.kind) {
      case "greeting":
        this.#greeted = true;
        return;
      case "event":
        for (const listener of [...this.#listeners]) listener(message);
        return;
      case "malformed":
        this.fail(
          new VmError("qmp", `QEMU sent a QMP line that is ${message.reason}: ${message.line}`, {
            ...message,
          }),
        );
        return;
      default:
        // A reply that nobody waits for any more is dropped.
        if (message.id !== undefined && this.#replies.has(message.id)) {
          this.#replies.set(message.id, message);
        }
    }
  }

  #wait<T>(look: () => T | undefined, what: string, options: WaitOptions): Promise<T> {
    const timeoutMs = options.timeoutMs ?? commandTimeoutMsDefault;
    return waitUntil(
      this.#bell,
      () => {
        const found = look();
        if (found === undefined && this.#failure !== undefined) throw this.#failure;
        return found;
      },
      () =>
        new VmError("timeout", `Waited ${timeoutMs} ms in vain for ${what}.`, { what, timeoutMs }),
      { ...options, timeoutMs },
    );
  }
}
