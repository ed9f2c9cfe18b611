/** pam-auth-update of libpam-runtime: `/etc/pam.d/common-*` from profiles and templates. */

import { ImageError } from "../error.ts";
import { file, type Piece } from "./piece.ts";

const stacks = ["auth", "account", "password", "session", "session-noninteractive"] as const;
type Stack = (typeof stacks)[number];

const primaryStart = '# here are the per-package modules (the "Primary" block)';
const primaryEnd = "# here's the fallback if no module succeeds";
const additionalStart = '# and here are more per-package modules (the "Additional" block)';
const additionalEnd = "# end of pam-auth-update config";

/** One file of `/usr/share/pam-configs`: field → text, lines of a block joined by newlines. */
interface Profile {
  readonly name: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** Where profiles and templates lie; paths → text as captured from the packages. */
const profilesFolder = "usr/share/pam-configs/";
const templatesFolder = "usr/share/pam/";

/**
 * The five `common-*` files, from every profile that is on by default, highest priority first
 * (of equal ones the last by name, as there).
 * @throws ImageError `package` when a template or a profile is not as pam-auth-update wants it.
 */
export function pamFiles(contents: ReadonlyMap<string, string>): Piece[] {
  const profiles: Profile[] = [];
  for (const [path, text] of contents) {
    if (path.startsWith(profilesFolder)) {
      profiles.push(parseProfile(path, text));
    }
  }
  const enabled = profiles.filter((each) => each.fields.get("Default")?.trim() === "yes");
  enabled.sort((a, b) => priority(b) - priority(a) || (a.name < b.name ? 1 : -1));
  return stacks.flatMap((stack) => {
    const template = contents.get(`${templatesFolder}common-${stack}`);
    return template === undefined
      ? []
      : [file(`etc/pam.d/common-${stack}`, fillTemplate(stack, template, enabled))];
  });
}

function priority(profile: Profile): number {
  return Number(profile.fields.get("Priority") ?? "0");
}

/** `Field: value`, and blocks whose lines are indented below `Field:`. */
function parseProfile(path: string, text: string): Profile {
  const fields = new Map<string, string>();
  let field: string | undefined;
  for (const line of text.split("\n")) {
    const head = /^(\S+):\s*(.*)$/.exec(line);
    if (head !== null) {
      // "Auth-Final" is what "Auth" was called once.
      field = head[1]!.replace(/-Final$/, "");
      fields.set(field, head[2]!);
    } else if (field !== undefined && line.trim() !== "" && /^\s/.test(line)) {
      const earlier = fields.get(field)!;
      fields.set(field, earlier === "" ? line.trim() : `${earlier}\n${line.trim()}`);
    } else if (line.trim() !== "") {
      throw new ImageError("package", `Cannot read the PAM profile ${path}: found "${line}".`, {
        path,
        line,
      });
    }
  }
  return { name: path.slice(profilesFolder.length), fields };
}

/** Replaces what lies between the markers of both blocks. */
function fillTemplate(stack: Stack, template: string, profiles: readonly Profile[]): string {
  const primary = replaceBetween(stack, template, primaryStart, primaryEnd, () =>
    blockLines(stack, profiles, "Primary"),
  );
  return replaceBetween(stack, primary, additionalStart, additionalEnd, () =>
    blockLines(stack, profiles, "Additional"),
  );
}

function replaceBetween(
  stack: Stack,
  text: string,
  start: string,
  end: string,
  lines: () => string[],
): string {
  const from = text.indexOf(start);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) {
    throw new ImageError(
      "package",
      `Cannot make etc/pam.d/common-${stack}: its template lacks the line "${from < 0 ? start : end}".`,
      { stack },
    );
  }
  const head = text.slice(0, text.indexOf("\n", from) + 1);
  return (
    head +
    lines()
      .map((line) => `${line}\n`)
      .join("") +
    text.slice(to)
  );
}

/** The lines of one block; `end` in a control becomes the number of lines left to jump over. */
function blockLines(
  stack: Stack,
  profiles: readonly Profile[],
  block: "Primary" | "Additional",
): string[] {
  // Profiles speak of "Session" for both session stacks, and may ask to be in the first only.
  const type = stack === "session-noninteractive" ? "session" : stack;
  const title = type[0]!.toUpperCase() + type.slice(1);
  const lines: string[] = [];
  let position = 0;
  for (const { fields } of profiles) {
    const interactiveOnly = fields.get("Session-Interactive-Only")?.trim() === "yes";
    const applies = !(interactiveOnly && stack === "session-noninteractive");
    if (applies && fields.get(`${title}-Type`)?.trim() === block) {
      const initial = position === 0 ? fields.get(`${title}-Initial`) : undefined;
      const text = initial || fields.get(title) || "";
      lines.push(...text.split("\n").filter((line) => line !== ""));
      position++;
    }
  }
  if (block === "Primary" && lines.length === 0) {
    return [`${type}\t[default=1]\t\t\tpam_permit.so`];
  }
  const jumpMax = block === "Primary" ? lines.length : lines.length - 1;
  return lines.map((line, index) => `${type}\t${formatLine(line, jumpMax - index)}`);
}

/** Control and module as written, then the options; the trailing blank is pam-auth-update's. */
function formatLine(line: string, jump: number): string {
  const match = /^((?:\[[^\]]+\]|\w+)\s+\S+)\s*(.*)$/.exec(line);
  if (match === null) {
    throw new ImageError("package", `Cannot use the PAM line "${line}": it names no module.`, {
      line,
    });
  }
  const module = match[1]!.replaceAll("end", String(jump));
  return `${module} ${match[2]!.split(/\s+/).join(" ")}`;
}
