/** The way into a box: SSH with a key that was built into its image. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeScratchFolder, type Vm } from "../src/vm/index.ts";

const runFile = promisify(execFile);
const commandTimeoutMs = 120_000;

/** A key pair that goes when it is disposed. */
export interface SshKey extends AsyncDisposable {
  readonly privatePath: string;
  /** One line, for `authorizedKeys`. */
  readonly publicKey: string;
}

/** How a command on the box, or the login itself, ended. */
export interface SshOutcome {
  /** ssh's own failures are 255. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Makes a key with OpenSSH's own program. */
export async function makeSshKey(): Promise<SshKey> {
  const folder = await makeScratchFolder();
  const privatePath = join(folder.path, "key");
  await runFile("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", privatePath]);
  const publicKey = (await readFile(`${privatePath}.pub`, "utf8")).trim();
  return {
    privatePath,
    publicKey,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** Root's shell on a box. The connection ends with the machine. */
export class Ssh {
  readonly #port: number;
  readonly #key: SshKey;

  /**
   * @param box has a card on a `user` network.
   * @param options which card, when it is not the first.
   */
  static async of(box: Vm, key: SshKey, options: Parameters<Vm["forward"]>[1] = {}): Promise<Ssh> {
    return new Ssh(await box.forward(22, options), key);
  }

  private constructor(port: number, key: SshKey) {
    this.#port = port;
    this.#key = key;
  }

  /**
   * Runs a command. Logging in is slow under TCG, so all share one connection.
   * @param options for ssh, such as `-oControlPath=none`: a connection of its own.
   */
  async run(command: string, options: readonly string[] = []): Promise<SshOutcome> {
    const args = [...this.#arguments(options), "root@127.0.0.1", command];
    try {
      return { code: 0, ...(await runFile("ssh", args, { timeout: commandTimeoutMs })) };
    } catch (error) {
      if (isOutcome(error)) return error;
      throw error;
    }
  }

  /** Starts a subsystem, whose channel is the process's standard input and output. */
  subsystem(name: string): ChildProcess {
    const args = [...this.#arguments([]), "-s", "root@127.0.0.1", name];
    return spawn("ssh", args, { stdio: ["pipe", "pipe", "inherit"] });
  }

  #arguments(options: readonly string[]): string[] {
    return [
      ...["-F", "none", "-i", this.#key.privatePath, "-p", String(this.#port)],
      ...options,
      ...["-oBatchMode=yes", "-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oLogLevel=ERROR"],
      ...["-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"],
      ...["-oControlMaster=auto", "-oControlPersist=yes"],
      ...[`-oControlPath=${this.#key.privatePath}-%p`],
    ];
  }

  /** Runs a command that must succeed; returns its standard output. */
  async succeed(command: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(command);
    if (code === 0) return stdout;
    throw new Error(`On the box this ended with ${code}: ${command}\n${stdout}${stderr}`);
  }
}

function isOutcome(error: unknown): error is Error & SshOutcome {
  return error instanceof Error && "stderr" in error && "code" in error && error.code !== null;
}
