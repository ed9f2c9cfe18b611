/** The entry of a worker thread: runs one task after the other and answers each. */

import { parentPort } from "node:worker_threads";
import { packError, type TaskMessage, type WorkerMessage } from "./message.ts";
import type { Task } from "./task.ts";
import { tasks } from "./tasks.ts";

const port = parentPort;
if (port === null) throw new TypeError("This module is the entry of a worker thread.");

const send = (message: WorkerMessage, transfer: readonly ArrayBuffer[] = []) =>
  port.postMessage(message, [...transfer]);

port.on("message", async ({ name, input }: TaskMessage) => {
  try {
    // The pool's types have paired name and input already.
    const task = tasks[name] as Task<unknown, unknown>;
    const log = (event: "segment-damaged", fields: Readonly<Record<string, unknown>>) =>
      send({ kind: "log", event, fields });
    const { value, transfer } = await task(input, { log });
    send({ kind: "done", value }, transfer);
  } catch (error) {
    send({ kind: "failed", failure: packError(error) });
  }
});
