/** What `run` and `boot` wait for, and what the way it ended means. Pure. */

import { type BootState, type Result, type RunReport, wasBooted } from "../rpc/index.ts";
import { type ExitCode, exitCodes, UsageError } from "./exit.ts";

/** When a run is over. */
export type Condition =
  /** The box is back. */
  | { readonly kind: "return" }
  /** The machine that was booted answers by SSH. */
  | { readonly kind: "ssh"; readonly port: number }
  /** It accepts TCP connections. */
  | { readonly kind: "port"; readonly port: number }
  /** Its console shows a line like this. */
  | { readonly kind: "text"; readonly pattern: RegExp };

/** What was seen; times in milliseconds after the box was told to boot. */
export interface Seen {
  readonly leftMs: number | null;
  /** `line`: what its console showed. */
  readonly met: {
    readonly afterMs: number;
    readonly address: string;
    readonly line?: string;
  } | null;
  readonly returned: { readonly afterMs: number; readonly state: BootState } | null;
  /** The user's power command was run, since the time was over. */
  readonly isPowerUsed?: boolean;
}

/** How a run ended. */
export type RunOutcome =
  | "met"
  /** The box is back, and the disk's system died. */
  | "crashed"
  /** The box is back, and the firmware did not boot the disk. */
  | "not-booted"
  /** The box is back, and the condition was not met before. */
  | "came-back"
  /** The box is back by the power command: the disk's system had come to no end. */
  | "hung"
  | "never-left"
  | "never-came-back";

/** The outcome for programs and people. */
export interface Verdict {
  readonly outcome: RunOutcome;
  readonly exitCode: ExitCode;
  readonly text: string;
  /** Whether the disk was booted; null where nothing tells. */
  readonly isBooted: boolean | null;
}

const sshPort = 22;
/** What a box listens on: an answer there would say nothing. */
const boxPorts = [4420, 4421, 8009];

/**
 * Reads `--until`.
 * @throws UsageError
 */
export function parseUntil(text: string): Condition {
  if (text === "return") return { kind: "return" };
  if (text === "ssh") return { kind: "ssh", port: sshPort };
  if (text.startsWith("text:")) return { kind: "text", pattern: parsePattern(text.slice(5)) };
  const port = Number(/^port:([1-9]\d{0,4})$/.exec(text)?.[1] ?? 0);
  if (port === sshPort) return { kind: "ssh", port };
  if (boxPorts.includes(port)) {
    throw new UsageError(`A box listens on port ${port} too. Wait for a port of the image alone.`);
  }
  if (port > 0 && port < 65536) return { kind: "port", port };
  throw new UsageError(`--until takes return, ssh, port:NUMBER or text:PATTERN, not "${text}".`);
}

function parsePattern(text: string): RegExp {
  try {
    if (text !== "") return new RegExp(text, "u");
  } catch (error) {
    throw new UsageError(`"${text}" is no regular expression: ${String(error)}`);
  }
  throw new UsageError("--until text: takes a regular expression: text:login:");
}

/** What is waited for, in words. */
export function describeCondition(condition: Condition): string {
  switch (condition.kind) {
    case "return":
      return "the box to be back";
    case "ssh":
      return "SSH to answer";
    case "port":
      return `port ${condition.port} to answer`;
    case "text":
      return `${condition.pattern} on the console`;
  }
}

/** What became of a run. */
export function judgeRun(condition: Condition, seen: Seen, timeoutMs: number): Verdict {
  const { met, returned, leftMs } = seen;
  const report = returned?.state.lastRun ?? null;
  const isBooted = met !== null || (report === null ? null : wasBooted(report));
  const verdict = (outcome: RunOutcome, exitCode: ExitCode, text: string) => {
    return { outcome, exitCode, text, isBooted };
  };
  if (met?.line !== undefined) {
    return verdict("met", exitCodes.ok, `The console showed: ${met.line}`);
  }
  if (met !== null) {
    return verdict("met", exitCodes.ok, `${wordsOf(condition)} answered at ${met.address}.`);
  }
  const within = `within ${Math.round(timeoutMs / 1000)} s`;
  if (returned !== null) {
    const after = judgeReturned(condition, report, verdict);
    const isDead = after.outcome === "crashed" || after.outcome === "not-booted";
    if (!seen.isPowerUsed || isDead) return after;
    const text =
      `The system on the disk came to no end ${within}. The power command was run, and the box is ` +
      "back.";
    return verdict("hung", exitCodes.failure, text);
  }
  if (leftMs === null) {
    return verdict("never-left", exitCodes.unreachable, `The box did not go down ${within}.`);
  }
  const even = seen.isPowerUsed ? ", and not after the power command either" : "";
  const text = `The box did not come back ${within}${even}.`;
  return verdict("never-came-back", exitCodes.unreachable, text);
}

function judgeReturned(
  condition: Condition,
  report: RunReport | null,
  verdict: (outcome: RunOutcome, exitCode: ExitCode, text: string) => Verdict,
): Verdict {
  const [crash] = report?.crashes ?? [];
  if (report?.kexec && report.boots === 0) {
    const text = "The machine did not go down: the box is back in the same boot.";
    return verdict("not-booted", exitCodes.failure, text);
  }
  if (report !== null && wasBooted(report) === false) {
    const why = report.orderIgnored ? " (BootNext is still set)" : "";
    const text =
      `The firmware did not boot the disk${why}: the box is back at once. Boot the disk from the ` +
      "firmware's own menu to see what it says.";
    return verdict("not-booted", exitCodes.failure, text);
  }
  if (crash !== undefined) {
    return verdict(
      "crashed",
      exitCodes.failure,
      `The system crashed (${crash.name}), the box is back.`,
    );
  }
  const isUnknown = report !== null && report.boots === null && !report.kexec;
  const unknown = isUnknown
    ? "; whether the disk was booted is not known: this firmware counts no boots"
    : "";
  if (condition.kind === "return") {
    return verdict("met", exitCodes.ok, `The box is back${unknown}.`);
  }
  const missed =
    condition.kind === "text"
      ? `${condition.pattern} was not on the console`
      : `${wordsOf(condition)} did not answer`;
  return verdict(
    "came-back",
    exitCodes.failure,
    `The box is back, and ${missed} before${unknown}.`,
  );
}

function wordsOf(condition: Condition): string {
  return condition.kind === "port" ? `Port ${condition.port}` : "SSH";
}

/** How a box that is gone comes back. */
export function wayBack(box: string, comeback: BootState["comeback"]): string {
  return comeback.certain
    ? `Any reset brings ${box} back (${comeback.text}): its reset button, switching it off and on, ` +
        'or a reboot of what runs now. It then sets the boot order right; "diskomator ls" shows it. ' +
        "If what runs now has put itself first in the boot order, choose the box's medium in the " +
        "firmware's menu."
    : `Nothing brings ${box} back by itself: ${comeback.text}. Choose its medium in the firmware's ` +
        "menu.";
}

/** What the box found when it was back, a line each. */
export function describeReport(report: RunReport): string[] {
  const { boots, bootOrder, crashes, problems, kexec = false } = report;
  const lines: string[] = [];
  if (kexec) lines.push("This was no boot by the firmware: the box started the kernel itself.");
  if (boots !== null && boots > (kexec ? 1 : 2)) {
    lines.push(`The machine booted ${boots} times in between, the box's own boot included.`);
  }
  if (bootOrder.outcome !== "same") lines.push(describeOrder(bootOrder));
  for (const problem of problems) lines.push(`Problem: ${problem}`);
  lines.push(...adviseOn(report));
  for (const { name, text } of crashes) {
    lines.push(`${name}, the end of the kernel's log:`);
    lines.push(
      ...text
        .trimEnd()
        .split("\n")
        .slice(-crashLinesMax)
        .map((line) => `  ${line}`),
    );
  }
  return lines;
}

function describeOrder({ outcome, found, wanted }: RunReport["bootOrder"]): string {
  const [now, before] = [found.join(",") || "nothing", wanted.join(",") || "nothing"];
  if (outcome === "kept") {
    return `BootOrder is ${now} and was ${before} before the run; it was left as it is.`;
  }
  const done = outcome === "restored" ? "was restored" : "COULD NOT BE RESTORED";
  return `BootOrder was changed to ${now} and ${done}: ${before}.`;
}

/** What to try after a boot that may not have been one. */
function adviseOn(report: RunReport): string[] {
  const { entryLost, appendEntry, devicePath, orderIgnored } = report;
  const isBooted = wasBooted(report);
  if (isBooted === true) return [];
  if (entryLost && appendEntry) return [];
  if (entryLost) {
    return [
      "Some firmware drops boot entries that stand in no boot order. --append-entry puts this one at " +
        "the end of BootOrder for the run, and takes it out again.",
    ];
  }
  if (isBooted === null || orderIgnored || devicePath !== "full") return [];
  return [
    "The entry had the full device path of the disk, which this firmware may have another word for. " +
      "The next run of this disk names it by its partition alone.",
  ];
}

/** What is to be known of disks that carry the same image; no lines where there are none. */
export function describeTwins({ twins = [], partUuid }: Result<"bootOnce">): string[] {
  if (twins.length === 0) return [];
  return [
    `Note: ${twins.join(" and ")} ${twins.length > 1 ? "have" : "has"} a partition of the same PARTUUID ` +
      `(${partUuid}). The firmware boots the right disk; a system that looks for its disk by that may ` +
      "take the wrong one.",
  ];
}

/** Lines of a crash that are shown; `--json` has all that the firmware kept. */
const crashLinesMax = 40;
