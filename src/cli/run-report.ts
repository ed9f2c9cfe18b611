/** What is told of a run that nobody waited for to its end. Pure. */

import type { RunReport } from "../rpc/index.ts";
import { describeReport } from "./run-condition.ts";

/** Whether a run ended otherwise than was hoped for. */
export function isNotable({ crashes, problems, bootOrder, orderIgnored }: RunReport): boolean {
  const isWrong = crashes.length > 0 || problems.length > 0 || orderIgnored;
  return isWrong || bootOrder.outcome !== "same";
}

/** The report of a run that somebody else, or an earlier command, has begun. */
export function describeEarlier(report: RunReport): readonly string[] {
  const ignored = report.orderIgnored ? ["The firmware did not boot the disk."] : [];
  const lines = [...ignored, ...describeReport(report)];
  return [
    `The run before this one (of ${report.disk}, begun at ${report.startedAt}, the box back at ` +
      `${report.returnedAt}):`,
    ...lines.map((line) => `  ${line}`),
  ];
}

const orders: Readonly<Record<RunReport["bootOrder"]["outcome"], string>> = {
  same: "is what it was",
  restored: "was restored",
  kept: "was left as it is",
  failed: "could not be restored",
};

/** The same in one line, for a list of boxes; null where all is well. */
export function summarizeRun(report: RunReport): string | null {
  if (!isNotable(report)) return null;
  const { disk, returnedAt, crashes, problems, bootOrder, orderIgnored } = report;
  const crashed = crashes.map(({ name }) => name).join(", ");
  const order = orders[bootOrder.outcome];
  const parts = [
    ...(crashed === "" ? [] : [`crashed: ${crashed}`]),
    ...(orderIgnored ? ["was ignored by the firmware"] : []),
    ...(bootOrder.outcome === "same" ? [] : [`changed the boot order, which ${order}`]),
    ...(problems.length === 0 ? [] : [`left problems: ${problems.join(" ")}`]),
  ];
  return `its last run (of ${disk}, back at ${returnedAt}) ${parts.join("; ")}`;
}
