/** QEMU as a process: its channels, its last words, its end. */

import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { VmError } from "./error.ts";

/** How QEMU ended. */
export interface VmExit {
  /** Absent when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** What QEMU wrote to standard error, its last part. */
  readonly stderr: string;
}

/** A running QEMU. */
export interface EmulatorProcess {
  readonly pid: number;
  readonly qmp: Duplex;
  readonly serial: Duplex;
  /** Its command line, for messages. */
  readonly commandLine: string;
  /** Never rejects. */
  readonly exited: Promise<VmExit>;
  /** Ends it at once. */
  kill(): void;
}

/** File descriptors in QEMU of the two channels; see `MachineHost`. */
export const channelFds = { qmpFd: 3, serialFd: 4 } as const;

const stderrCharactersMax = 64 * 1024;

/**
 * Starts QEMU, with both channels open before its first instruction.
 *
 * It is a session of its own, so that a Ctrl-C on the terminal reaches the caller, who decides.
 * @param guard path of util-linux' setpriv, with which QEMU does not outlive this process even
 *   when it is killed; undefined on hosts without it.
 */
export function startProcess(
  emulator: string,
  args: readonly string[],
  guard: string | undefined,
): EmulatorProcess {
  const command = [...(guard ? [guard, "--pdeathsig=KILL", "--"] : []), emulator, ...args];
  const child = spawn(command[0]!, command.slice(1), {
    stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
    detached: true,
  });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const exited = watchExit(child).finally(() => process.off("exit", kill));
  return {
    pid: child.pid ?? -1,
    qmp: child.stdio[channelFds.qmpFd] as Duplex,
    serial: child.stdio[channelFds.serialFd] as Duplex,
    commandLine: [emulator, ...args].map(quoteForShell).join(" "),
    exited,
    kill,
  };
}

function watchExit(child: ChildProcess): Promise<VmExit> {
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-stderrCharactersMax);
  });
  return new Promise((resolve) => {
    child.once("error", (error) => {
      resolve({ code: undefined, signal: undefined, stderr: `${stderr}${error.message}\n` });
    });
    child.once("close", (code, signal) => {
      resolve({ code: code ?? undefined, signal: signal ?? undefined, stderr });
    });
  });
}

/** The error for a QEMU that ended while it was needed. */
export function exitError(
  code: "start" | "exited",
  exit: VmExit,
  facts: { readonly name: string; readonly commandLine: string; readonly lastLines: string },
): VmError {
  const how = exit.signal ? `by ${exit.signal}` : `with code ${exit.code ?? "unknown"}`;
  const verb = code === "start" ? "did not start" : "ended";
  const said = exit.stderr.trim() === "" ? "It said nothing" : `It said: ${exit.stderr.trim()}`;
  const serial = facts.lastLines === "" ? "" : `\nSerial line:\n${facts.lastLines}`;
  return new VmError(
    code,
    `The virtual machine "${facts.name}" ${verb}: QEMU ended ${how}. ${said}\n` +
      `Command line: ${facts.commandLine}${serial}`,
    { name: facts.name, commandLine: facts.commandLine, exit },
  );
}

function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
