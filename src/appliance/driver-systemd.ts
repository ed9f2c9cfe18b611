/** What systemd and the daemon tell each other: readiness, status, and why the daemon must stop. */
import { runTool } from "./driver-process.ts";
import { parseStopReason, type StopReason } from "./stop.ts";

const unit = "diskomator.service";
const timeoutMs = 5000;

/** Tells systemd readiness and status, one message at a time, only the newest if they pile up. */
export class Notifier {
  readonly #active: boolean;
  #next: string[] | null = null;
  #running = false;

  /** @param active whether systemd asked for notifications (`NOTIFY_SOCKET` is set) */
  constructor(active: boolean) {
    this.#active = active;
  }

  /** Sends `--ready`, `--status=…`, `--stopping`; failures are of no consequence. */
  send(...parameters: string[]): void {
    if (this.#active) {
      const ready = this.#next?.includes("--ready") && !parameters.includes("--ready");
      this.#next = ready ? ["--ready", ...parameters] : parameters;
      void this.#drain();
    }
  }

  async #drain(): Promise<void> {
    if (this.#running) {
      return;
    }
    this.#running = true;
    while (this.#next !== null) {
      const parameters = this.#next;
      this.#next = null;
      await runTool("systemd-notify", parameters, timeoutMs).catch(() => "");
    }
    this.#running = false;
  }
}

/**
 * Asks systemd which job made it stop us. When it does not answer, a stop is assumed: taking
 * exports down needlessly is mended by the next start, leaving them up after a stop is not.
 */
export async function askStopReason(): Promise<StopReason> {
  try {
    return parseStopReason(
      await runTool("systemctl", ["list-jobs", "--no-legend"], timeoutMs),
      unit,
    );
  } catch {
    return "stop";
  }
}
