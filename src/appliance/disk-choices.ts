/** What somebody has decided about single disks since the box booted; it outlives the daemon. */

/** By identity. */
export interface DiskChoices {
  readonly withdrawn: ReadonlySet<string>;
  readonly offered: ReadonlySet<string>;
}

/** What is kept in `/run/diskomator/choices.json`. */
export interface ChoiceMemory {
  readonly withdrawn: readonly string[];
  readonly offered: readonly string[];
}

/** What is to be remembered. */
export function rememberChoices({ withdrawn, offered }: DiskChoices): ChoiceMemory {
  return { withdrawn: [...withdrawn], offered: [...offered] };
}

/** Reads what an earlier daemon has left; what makes no sense was never chosen. */
export function parseChoices(json: string): { withdrawn: Set<string>; offered: Set<string> } {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    value = null;
  }
  const { withdrawn, offered } = Object(value) as Partial<Record<keyof ChoiceMemory, unknown>>;
  return { withdrawn: textsOf(withdrawn), offered: textsOf(offered) };
}

function textsOf(value: unknown): Set<string> {
  const items: readonly unknown[] = Array.isArray(value) ? value : [];
  return new Set(items.filter((item) => typeof item === "string"));
}
