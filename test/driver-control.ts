/** The control channel of a box, as its owner has it: a subsystem of SSH. */

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { RpcClient, sshSubsystem } from "../src/rpc/index.ts";
import type { Ssh } from "./driver-ssh.ts";

/** Twice a second. */
const attemptsMax = 120;

/** A session; it ends when it is disposed. */
export class Control implements AsyncDisposable {
  readonly client: RpcClient;
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;

  static open(shell: Ssh): Control {
    return new Control(shell.subsystem(sshSubsystem));
  }

  /** A session with a daemon that may still be starting. */
  static async ready(shell: Ssh): Promise<Control> {
    for (let attempt = 1; ; attempt++) {
      const control = Control.open(shell);
      try {
        await control.client.call("describe", {});
        return control;
      } catch (error) {
        await control[Symbol.asyncDispose]();
        if (attempt === attemptsMax) throw error;
        await sleep(500);
      }
    }
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#closed = once(child, "close");
    this.client = new RpcClient((line) => void child.stdin?.write(line));
    child.stdin?.on("error", () => this.client.close());
    child.stdout?.on("data", (chunk: Buffer) => this.client.receive(chunk));
    child.stdout?.on("close", () => this.client.close());
  }

  /** Says that nothing more will be asked, and waits until the box has ended the session. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    await this.#closed;
  }

  /** Drops the connection without a word. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#closed;
  }
}
