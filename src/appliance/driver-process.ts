/** Helper programs: those that run along and are started again when they die, and short ones. */
import { type ChildProcess, execFile, type SpawnOptions, spawn } from "node:child_process";
import { ApplianceError } from "./error.ts";

/** Between the death of a companion and its next start. */
const restartDelayMs = 1000;

/** What a companion program tells. */
export interface CompanionEvents {
  /** Standard output, cut anywhere. */
  output(text: string): void;
  /** The program ended without being asked and will be started again. */
  died(message: string): void;
  /** The program was started, again or for the first time. */
  started?(): void;
}

/** Keeps a program running until the signal aborts. */
export function runCompanion(
  command: string,
  parameters: readonly string[],
  events: CompanionEvents,
  signal: AbortSignal,
): void {
  let child: ChildProcess | null = null;
  const start = (): void => {
    if (signal.aborted) {
      return;
    }
    const started = spawn(command, parameters, { stdio: ["ignore", "pipe", "ignore"] });
    child = started;
    let ended = false;
    const end = (message: string): void => {
      child = null;
      if (!ended && !signal.aborted) {
        events.died(`${command} ${message}; it is started again`);
        setTimeout(start, restartDelayMs);
      }
      ended = true;
    };
    started.stdout?.setEncoding("utf8").on("data", (text: string) => events.output(text));
    started.on("error", (error) => end(`could not run: ${error.message}`));
    started.on("exit", (code, by) => end(`ended with ${code ?? by}`));
    events.started?.();
  };
  signal.addEventListener("abort", () => child?.kill("SIGTERM"), { once: true });
  start();
}

/**
 * Runs a program to its end and returns its standard output.
 * @throws ApplianceError `tool` when it cannot be run, fails, or takes longer than `timeoutMs`
 */
export async function runTool(
  command: string,
  parameters: readonly string[],
  timeoutMs: number,
): Promise<string> {
  const { error, stdout, stderr } = await execute(command, parameters, timeoutMs);
  if (error === null) return stdout;
  const said = stderr.trim() || error.message;
  const message = `${[command, ...parameters].join(" ")} failed: ${said}`;
  throw new ApplianceError("tool", message, { command, parameters }, { cause: error });
}

/** Runs a program and returns its standard output, however it ended; nothing after `timeoutMs`. */
export async function readTool(
  command: string,
  parameters: readonly string[],
  timeoutMs: number,
): Promise<string> {
  return (await execute(command, parameters, timeoutMs)).stdout;
}

interface Execution {
  readonly error: Error | null;
  readonly stdout: string;
  readonly stderr: string;
}

function execute(
  command: string,
  parameters: readonly string[],
  timeoutMs: number,
): Promise<Execution> {
  return new Promise((resolve) => {
    const child = execFile(command, parameters, (error, stdout, stderr) => {
      clearTimeout(timer);
      resolve({ error, stdout, stderr });
    });
    const timer = setTimeout(() => {
      // One that waits for a disk ends when the disk lets it, whatever it is sent.
      child.kill("SIGKILL");
      const error = new Error(`it took longer than ${timeoutMs / 1000} s`);
      resolve({ error, stdout: "", stderr: "" });
    }, timeoutMs);
  });
}

/** Runs a program with descriptors of ours and returns its exit status, null if it has none. */
export function runWithDescriptors(
  command: string,
  parameters: readonly string[],
  stdio: NonNullable<SpawnOptions["stdio"]>,
): Promise<number | null> {
  return new Promise((resolve) => {
    const child = spawn(command, parameters, { stdio });
    child.on("error", () => resolve(null));
    child.on("exit", (code) => resolve(code));
  });
}
