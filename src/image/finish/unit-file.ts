/** The [Install] section of systemd units (systemd.unit(5)), and the names of units. */

/** What `systemctl enable` reads of a unit. */
export interface Install {
  readonly wantedBy: readonly string[];
  readonly requiredBy: readonly string[];
  readonly upheldBy: readonly string[];
  readonly alias: readonly string[];
  readonly also: readonly string[];
  readonly defaultInstance?: string;
}

/** A unit's name in parts: `getty@tty1.service` is prefix `getty`, instance `tty1`. */
export interface UnitName {
  readonly prefix: string;
  /** Absent for plain units, empty for templates. */
  readonly instance?: string;
  /** `service`, `socket`, … */
  readonly suffix: string;
}

const name =
  /^([^@/]+)(?:@([^/]*))?\.(service|socket|target|mount|automount|swap|timer|path|slice|scope|device)$/;

/** Parts of a unit's name, or nothing when it is none. */
export function parseUnitName(text: string): UnitName | undefined {
  const match = name.exec(text);
  if (match === null) {
    return undefined;
  }
  const [, prefix, instance, suffix] = match;
  return { prefix: prefix!, ...(instance === undefined ? {} : { instance }), suffix: suffix! };
}

/** The template of an instance: `getty@tty1.service` → `getty@.service`. */
export function templateOf({ prefix, suffix }: UnitName): string {
  return `${prefix}@.${suffix}`;
}

/** Assignments of one section, in order; a later text continues an earlier one (drop-ins). */
export function readSection(section: string, texts: readonly string[]): [string, string][] {
  return texts.flatMap((text) => {
    const assignments: [string, string][] = [];
    let current = "";
    for (const line of joinContinuations(text)) {
      const head = /^\[(.+)\]$/.exec(line);
      const assignment = /^([A-Za-z0-9-]+)\s*=\s*(.*)$/.exec(line);
      if (head !== null) {
        current = head[1]!;
      } else if (current === section && assignment !== null) {
        assignments.push([assignment[1]!, assignment[2]!]);
      }
    }
    return assignments;
  });
}

/** Trimmed lines without comments; one that ends in a backslash goes on in the next. */
function joinContinuations(text: string): string[] {
  const lines: string[] = [];
  let open = "";
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (/^[#;]/.test(line)) {
      continue;
    }
    if (line.endsWith("\\")) {
      open += `${line.slice(0, -1)} `;
    } else {
      lines.push((open + line).trim());
      open = "";
    }
  }
  return lines;
}

/** The [Install] section of a unit and its drop-ins, in that order; an empty value resets a list. */
export function parseInstall(texts: readonly string[]): Install {
  const lists = new Map<string, string[]>();
  let defaultInstance: string | undefined;
  for (const [key, value] of readSection("Install", texts)) {
    if (key === "DefaultInstance") {
      defaultInstance = value === "" ? undefined : value;
    } else {
      const earlier = value === "" ? [] : (lists.get(key) ?? []);
      lists.set(key, [...earlier, ...value.split(/\s+/).filter((word) => word !== "")]);
    }
  }
  return {
    wantedBy: lists.get("WantedBy") ?? [],
    requiredBy: lists.get("RequiredBy") ?? [],
    upheldBy: lists.get("UpheldBy") ?? [],
    alias: lists.get("Alias") ?? [],
    also: lists.get("Also") ?? [],
    ...(defaultInstance === undefined ? {} : { defaultInstance }),
  };
}
