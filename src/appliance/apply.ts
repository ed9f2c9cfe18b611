/**
 * Runs a plan through whatever can make directories and write attributes. A group that fails is
 * taken back in reverse and does not stop the others; a removal goes on past what fails, since
 * every piece that is gone is one less.
 */
import { type Plan, type Step, type StepGroup, undoOf } from "./nvmet.ts";

/** The calls that configfs understands; paths are relative to the nvmet directory. */
export interface ConfigfsCalls {
  mkdir(path: string): Promise<void>;
  rmdir(path: string): Promise<void>;
  write(path: string, value: string): Promise<void>;
  link(path: string, target: string): Promise<void>;
  unlink(path: string): Promise<void>;
}

/** What became of a group. */
export interface GroupResult {
  readonly subject: string;
  readonly intent: StepGroup["intent"];
  /** The first step that failed, with its error; null when all went well. */
  readonly failure: { readonly step: Step; readonly error: unknown } | null;
}

/** Runs the groups in order; never rejects for what a step throws. */
export async function applyPlan(
  calls: ConfigfsCalls,
  plan: Plan,
  onResult: (result: GroupResult) => void = () => {},
): Promise<readonly GroupResult[]> {
  const results: GroupResult[] = [];
  const failed = new Set<string>();
  for (const group of plan.groups) {
    if (group.intent === "link" && failed.has(group.subject)) {
      continue;
    }
    const failure = await runGroup(calls, group);
    if (failure !== null && group.intent === "export") {
      failed.add(group.subject);
    }
    const result = { subject: group.subject, intent: group.intent, failure };
    results.push(result);
    onResult(result);
  }
  return results;
}

async function runGroup(
  calls: ConfigfsCalls,
  group: StepGroup,
): Promise<{ step: Step; error: unknown } | null> {
  let first: { step: Step; error: unknown } | null = null;
  const done: Step[] = [];
  for (const step of group.steps) {
    try {
      await runStep(calls, step);
      done.push(step);
    } catch (error) {
      first ??= { step, error };
      if (group.intent !== "remove") {
        await takeBack(calls, done);
        return first;
      }
    }
  }
  return first;
}

/** Undoing is best effort: what remains is found and finished by the next plan. */
async function takeBack(calls: ConfigfsCalls, done: readonly Step[]): Promise<void> {
  for (const step of done.toReversed()) {
    const undo = undoOf(step);
    if (undo !== null) {
      await runStep(calls, undo).catch(() => {});
    }
  }
}

function runStep(calls: ConfigfsCalls, step: Step): Promise<void> {
  switch (step.do) {
    case "mkdir":
      return calls.mkdir(step.path);
    case "rmdir":
      return calls.rmdir(step.path);
    case "write":
      return calls.write(step.path, step.value);
    case "link":
      return calls.link(step.path, step.target);
    case "unlink":
      return calls.unlink(step.path);
  }
}
