/** Progress of commands about disks: bars on a terminal, plain lines elsewhere, or JSON lines. */

import { createLogUpdate } from "log-update";
import { formatRate, formatSeconds, formatSize, type ProgressEvent } from "../flash/index.ts";
import { printJson } from "./console.ts";
import type { ConnectionState } from "./namespace-target.ts";

/** Takes progress events, and clears the screen for what comes after. */
export interface ProgressView {
  show(event: ProgressEvent): void;
  /** Says something that stays on the screen: a target's connection is lost, or back. */
  connection(target: string, state: ConnectionState): void;
  /** Ends the picture; messages may follow. */
  done(): void;
}

const barWidth = 24;
/** Without a terminal a phase says so often how far it is. */
const plainIntervalMs = 10_000;

/** The view that fits where standard error goes. */
export function openProgressView({ isJson }: { readonly isJson: boolean }): ProgressView {
  if (isJson) {
    return {
      show: (event) => printJson({ ...event }),
      connection: (target, state) => printJson({ event: "connection", target, ...state }),
      done() {},
    };
  }
  return process.stderr.isTTY ? terminalView() : plainView();
}

function terminalView(): ProgressView {
  const update = createLogUpdate(process.stderr);
  const rows = new Map<string, string>();
  return {
    show(event) {
      rows.set(event.target, formatProgress(event));
      const isNamed = rows.size > 1;
      const lines = [...rows].map(([name, row]) => (isNamed ? `${row}  ${name}` : row));
      update(lines.join("\n"));
    },
    connection: (target, state) => update.persist(formatConnection(target, state)),
    done() {
      if (rows.size === 0) return;
      update.done();
      rows.clear();
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
    done() {},
  };
}

/** One line for a person. */
export function formatConnection(target: string, { isConnected, reason }: ConnectionState): string {
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
