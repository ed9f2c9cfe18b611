/** Progress of commands about disks: bars on a terminal, plain lines elsewhere, or JSON lines. */

import { formatRate, formatSize } from "../bytes/index.ts";
import { formatSeconds, type ModeEvent, type Phase, type ProgressEvent } from "../flash/index.ts";
import { printJson } from "./console.ts";
import type { ConnectionState } from "./namespace-target.ts";

/** Takes progress events, and clears the screen for what comes after. */
export interface ProgressView {
  show(event: ProgressEvent): void;
  /** Says something that stays on the screen: a target's connection is lost, or back. */
  connection(target: string, state: ConnectionState): void;
  /** Says how a target is written, and why. */
  mode(event: ModeEvent): void;
  /** Ends the picture; messages may follow. */
  done(): void;
}

const barWidth = 24;
/** Without a terminal a phase says so often how far it is. */
const plainIntervalMs = 10_000;

/** The view that fits where standard error goes. */
export async function openProgressView({
  isJson,
}: {
  readonly isJson: boolean;
}): Promise<ProgressView> {
  if (isJson) {
    return {
      show: (event) => printJson({ ...event }),
      mode: (event) => printJson({ ...event }),
      connection: (target, state) => printJson({ event: "connection", target, ...state }),
      done() {},
    };
  }
  return process.stderr.isTTY ? await terminalView() : plainView();
}

/** Phases that move bytes stay on the screen when they end; the short ones around them do not. */
const lasting: ReadonlySet<Phase> = new Set(["write", "verify", "read", "compare"]);

async function terminalView(): Promise<ProgressView> {
  // It takes 50 ms to load, and is of no use without a terminal.
  const { createLogUpdate } = await import("log-update");
  const update = createLogUpdate(process.stderr);
  const shown = new Map<string, ProgressEvent>();
  const rowOf = (event: ProgressEvent) =>
    shown.size > 1 ? `${formatProgress(event)}  ${event.target}` : formatProgress(event);
  const leave = (event: ProgressEvent | undefined) => {
    if (event && lasting.has(event.phase)) update.persist(rowOf(event));
  };
  return {
    show(event) {
      const last = shown.get(event.target);
      shown.set(event.target, event);
      if (last?.phase !== event.phase) leave(last);
      update([...shown.values()].map(rowOf).join("\n"));
    },
    connection: (target, state) => update.persist(formatConnection(target, state)),
    mode: (event) => update.persist(formatMode(event)),
    done() {
      update.clear();
      for (const event of shown.values()) leave(event);
      shown.clear();
    },
  };
}

function plainView(): ProgressView {
  const said = new Map<string, { phase: string; atMs: number }>();
  return {
    show(event) {
      const last = said.get(event.target);
      const now = performance.now();
      if (last?.phase === event.phase && now - last.atMs < plainIntervalMs) return;
      said.set(event.target, { phase: event.phase, atMs: now });
      process.stderr.write(`${event.target}: ${formatProgress(event, "")}\n`);
    },
    connection(target, state) {
      process.stderr.write(`${formatConnection(target, state)}\n`);
    },
    mode(event) {
      process.stderr.write(`${formatMode(event)}\n`);
    },
    done() {},
  };
}

/** One line for a person. */
function formatMode({ target, mode, reason }: ModeEvent): string {
  const what = mode === "delta" ? "only what differs is sent" : "all of it is sent";
  return `${target}: ${what}: ${reason}.`;
}

/** One line for a person. */
function formatConnection(target: string, { isConnected, reason }: ConnectionState): string {
  return isConnected
    ? `${target}: connected again, ${reason}.`
    : `${target}: the connection is lost, and is waited for up to ten minutes: ${reason}`;
}

/** One line: phase, bar, amount, rate, time left, what holds it up. */
export function formatProgress(event: ProgressEvent, bar = formatBar(event)): string {
  const { phase, bytes, total, bytesPerSecond, etaSeconds, bottleneck } = event;
  const parts = [phase.padEnd(8)];
  if (bar !== "") parts.push(bar);
  if (total !== undefined)
    parts.push(`${formatSize(Math.min(bytes, total))} of ${formatSize(total)}`);
  else if (bytes > 0) parts.push(formatSize(bytes));
  if (bytesPerSecond > 0) parts.push(formatRate(bytesPerSecond));
  if (etaSeconds !== undefined && bytes < (total ?? 0))
    parts.push(`${formatSeconds(etaSeconds)} left`);
  if (bottleneck !== undefined) parts.push(`limited by: ${bottleneck}`);
  return parts.join("  ").trimEnd();
}

function formatBar({ bytes, total }: ProgressEvent): string {
  if (!total) return "";
  const filled = Math.min(barWidth, Math.floor((bytes / total) * barWidth));
  return "█".repeat(filled) + "░".repeat(barWidth - filled);
}
