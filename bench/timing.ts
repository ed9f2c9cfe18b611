/** How long a whole process takes: from before its start until it has ended. */

import { spawn } from "node:child_process";
import { once } from "node:events";

/** One run. */
export interface Run {
  readonly wallMs: number;
  /** User and system time of the process with all its threads, without programs that it starts. */
  readonly cpuMs: number | undefined;
  /** Most memory that the process had, in bytes; of a program of ours only. */
  readonly peakBytes?: number;
}

/** Writes the process's own account to the fourth descriptor as it ends. */
const account =
  "data:text/javascript,import{writeSync}from'node:fs';" +
  "process.on('exit',()=>writeSync(3,JSON.stringify(process.resourceUsage())));";

/** Runs a program of ours with this Node. */
export function runNode(args: readonly string[], env = process.env): Promise<Run> {
  return runProgram(process.execPath, ["--import", account, ...args], env);
}

/** Runs a program; what it says is shown only when it fails. `onOutput` gets its standard output. */
export async function runProgram(
  program: string,
  args: readonly string[],
  env = process.env,
  onOutput: (text: string) => void = () => {},
): Promise<Run> {
  const startMs = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe", "pipe"], env });
  const texts = child.stdio.slice(1).map((stream) => {
    const chunks: Buffer[] = [];
    (stream as NodeJS.ReadableStream).on("data", (chunk: Buffer) => chunks.push(chunk));
    return () => Buffer.concat(chunks).toString();
  });
  const [code] = await once(child, "close");
  const wallMs = performance.now() - startMs;
  const [out, error, used] = texts.map((text) => text());
  if (code !== 0)
    throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${out}${error}`);
  onOutput(out ?? "");
  if (!used) return { wallMs, cpuMs: undefined };
  const { userCPUTime, systemCPUTime, maxRSS }: NodeJS.ResourceUsage = JSON.parse(used);
  return { wallMs, cpuMs: (userCPUTime + systemCPUTime) / 1000, peakBytes: maxRSS * 1024 };
}

/** `9.1 s (8.7 to 10.2; processor 14.8 s)`: median, least and most of the walls. */
export function showRuns(runs: readonly Run[]): string {
  const seconds = (ms: number) => (ms / 1000).toFixed(2);
  const walls = runs.map(({ wallMs }) => wallMs);
  const cpus = runs.flatMap(({ cpuMs }) => cpuMs ?? []);
  const processor = cpus.length > 0 ? `; processor ${seconds(median(cpus))} s` : "";
  const [least, most] = [Math.min(...walls), Math.max(...walls)].map(seconds);
  return `${seconds(median(walls))} s (${least} to ${most}${processor})`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
