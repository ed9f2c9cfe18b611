/** sysusers.d(5): the parser of account declarations. Allocation is in `accounts.ts`. */

import { ImageError } from "../error.ts";

/** Where an account's number comes from. */
export type IdSource =
  | { readonly from: "any" }
  | { readonly from: "number"; readonly id: number }
  | { readonly from: "path"; readonly path: string };

/** One line of a sysusers.d file. */
export type SysusersLine =
  | {
      readonly type: "user";
      readonly name: string;
      readonly uid: IdSource;
      /** The primary group, where the line names one that is not the user's own. */
      readonly group?: { readonly name: string } | { readonly gid: number };
      readonly gecos: string;
      readonly home?: string;
      readonly shell?: string;
      /** `u!`: the account is expired, so that nothing can log in. */
      readonly locked: boolean;
    }
  | { readonly type: "group"; readonly name: string; readonly gid: IdSource }
  | { readonly type: "member"; readonly user: string; readonly group: string }
  | { readonly type: "range"; readonly first: number; readonly last: number };

const validName = /^[a-zA-Z_][a-zA-Z0-9_-]{0,30}$/;
const idMax = 0xffff_fffe;

/**
 * Reads one sysusers.d file.
 * @throws ImageError `package` that names file, line and what is wrong with it.
 */
export function parseSysusers(path: string, text: string): SysusersLine[] {
  return text.split("\n").flatMap((raw, index) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) {
      return [];
    }
    const reject = (why: string): never => {
      throw new ImageError(
        "package",
        `Cannot read accounts from ${path} line ${index + 1}: ${why}: "${line}".`,
        { path, line: index + 1, why },
      );
    };
    return [parseLine(splitWords(line, reject), reject)];
  });
}

type Reject = (why: string) => never;

/** Words separated by blanks, with quotes and backslashes taken away; `-` and `` are absent. */
function splitWords(line: string, reject: Reject): (string | undefined)[] {
  const words: (string | undefined)[] = [];
  const word = /\s*((?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\.|[^\s"'\\])+)/y;
  while (word.lastIndex < line.length) {
    const raw = word.exec(line)?.[1] ?? reject("a quote is not closed");
    const plain = raw.replace(/"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|\\(.)/g, unquote);
    words.push(plain === "" || plain === "-" ? undefined : expand(plain, reject));
  }
  return words;
}

function unquote(_: string, double?: string, single?: string, escaped?: string): string {
  return escaped ?? (double ?? single ?? "").replace(/\\(.)/g, "$1");
}

/** Specifiers speak of the machine that boots, which is not known here; only `%%` is. */
function expand(text: string, reject: Reject): string {
  return text.replace(/%(.?)/g, (_, letter: string) =>
    letter === "%" ? "%" : reject(`the specifier %${letter} is not known when an image is built`),
  );
}

function parseLine(words: (string | undefined)[], reject: Reject): SysusersLine {
  const [type, name, id, gecos, home, shell, ...rest] = words;
  if (rest.length > 0) {
    reject("more than six fields");
  }
  const needName = (text: string | undefined, what: string): string =>
    text !== undefined && validName.test(text) ? text : reject(`no valid ${what} name`);
  switch (type) {
    case "u":
    case "u!":
      return {
        type: "user",
        name: needName(name, "user"),
        ...parseUserId(id, needName, reject),
        gecos: gecos?.replaceAll(":", "") ?? "",
        ...(home === undefined ? {} : { home }),
        ...(shell === undefined ? {} : { shell }),
        locked: type === "u!",
      };
    case "g":
      return { type: "group", name: needName(name, "group"), gid: parseId(id, reject) };
    case "m":
      return { type: "member", user: needName(name, "user"), group: needName(id, "group") };
    case "r":
      return parseRange(id, reject);
    default:
      return reject(`the type ${type ?? "-"} is not one of u, u!, g, m, r`);
  }
}

type NeedName = (text: string | undefined, what: string) => string;
type UserId = Pick<Extract<SysusersLine, { type: "user" }>, "uid" | "group">;

/** `-`, `UID`, `/path`, `UID:GID`, `UID:group`, `-:group`. */
function parseUserId(id: string | undefined, needName: NeedName, reject: Reject): UserId {
  const colon = id === undefined || id.startsWith("/") ? -1 : id.indexOf(":");
  if (id === undefined || colon < 0) {
    return { uid: parseId(id, reject) };
  }
  const left = id.slice(0, colon);
  const right = id.slice(colon + 1);
  const uid = left === "-" ? ({ from: "any" } as const) : parseId(left, reject);
  const group = /^\d+$/.test(right)
    ? { gid: parseNumber(right, reject) }
    : { name: needName(right, "group") };
  return { uid, group };
}

function parseId(id: string | undefined, reject: Reject): IdSource {
  if (id === undefined) {
    return { from: "any" };
  }
  if (id.startsWith("/")) {
    return { from: "path", path: id.slice(1) };
  }
  return { from: "number", id: parseNumber(id, reject) };
}

function parseNumber(text: string, reject: Reject): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  // 65535 is what a 16-bit -1 looks like; sysusers refuses it too.
  return value <= idMax && value !== 0xffff ? value : reject(`${text} is no user or group id`);
}

function parseRange(id: string | undefined, reject: Reject): SysusersLine {
  const match = /^(\d+)(?:-(\d+))?$/.exec(id ?? "") ?? reject("no range of ids");
  const first = parseNumber(match[1]!, reject);
  const last = match[2] === undefined ? first : parseNumber(match[2], reject);
  return first <= last ? { type: "range", first, last } : reject("the range ends before it starts");
}
