/** `InRelease` files: what a suite of an archive holds, and whether that may be believed now. */
import { ImageError } from "../error.ts";
import { parseDeb822 } from "./deb822.ts";
import type { TrustedKey } from "./keys.ts";
import { clockToleranceMs, verifySignedText } from "./signature.ts";
import type { ArchiveName } from "./sources.ts";

/** A file that a suite lists. */
interface ReleaseFile {
  /** Lower-case hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** The fields of a Release file that we go by. */
export interface Release {
  readonly suite: string;
  readonly codename: string;
  readonly date: Date;
  readonly validUntil?: Date;
  /** Without the `updates/` that the security archive puts before them. */
  readonly components: readonly string[];
  readonly architectures: readonly string[];
  readonly hasByHash: boolean;
  /** Path below the suite's folder → file. */
  readonly files: ReadonlyMap<string, ReleaseFile>;
}

/** What was asked for, and by what it is judged. */
export interface ReleaseRequest {
  readonly archive: ArchiveName;
  /** `trixie-updates`: must be the file's suite or code name. */
  readonly suite: string;
  /** Where it came from, for messages. */
  readonly mirror: string;
  readonly keys: readonly TrustedKey[];
  readonly now: Date;
  /** The newest `Date` that was ever accepted for this suite. */
  readonly newestSeen?: Date;
  /** Takes a suite whose `Valid-Until` has passed. */
  readonly ignoreValidUntil?: boolean;
}

/**
 * Verifies an `InRelease` file and reads it.
 * @throws ImageError `signature` (not signed as wanted, or another suite than was asked for),
 * `expired` (`Valid-Until` passed, older than `newestSeen`, or from the future).
 */
export async function readRelease(file: Uint8Array, request: ReleaseRequest): Promise<Release> {
  const what = `${request.suite}/InRelease of ${request.mirror}`;
  const { text } = await verifySignedText(file, { ...request, what });
  const release = parseRelease(text, what);
  checkName(release, request, what);
  checkDates(release, request, what);
  return release;
}

/**
 * Reads the text of a Release file (the wiki page `DebianRepository/Format`), once it is trusted.
 * @throws ImageError `signature` that names what is missing or makes no sense.
 */
export function parseRelease(text: string, what: string): Release {
  const refuse = (found: string) =>
    new ImageError(
      "signature",
      `Cannot read ${what}: found ${found}. Try another mirror with --mirror.`,
      { what, found },
    );
  const parsed = parseDeb822(text);
  if (!parsed.ok) {
    throw refuse(`${parsed.reason} in line ${parsed.line}`);
  }
  const [fields, ...more] = parsed.paragraphs;
  if (fields === undefined || more.length > 0) {
    throw refuse(`${parsed.paragraphs.length} paragraphs instead of one`);
  }
  const dateOf = (field: string, value: string): Date => {
    const date = parseDate(value);
    if (date === undefined) {
      throw refuse(`the date ${JSON.stringify(value)} in the field ${field}`);
    }
    return date;
  };
  const date = fields.get("date");
  if (date === undefined) {
    throw refuse("no field Date");
  }
  const validUntil = fields.get("valid-until");
  const files = parseFiles(fields.get("sha256") ?? "");
  if (typeof files === "string") {
    throw refuse(files);
  }
  return {
    suite: fields.get("suite") ?? "",
    codename: fields.get("codename") ?? "",
    date: dateOf("Date", date),
    ...(validUntil === undefined ? {} : { validUntil: dateOf("Valid-Until", validUntil) }),
    components: words(fields.get("components")).map((name) => name.replace(/^updates\//, "")),
    architectures: words(fields.get("architectures")),
    hasByHash: fields.get("acquire-by-hash") === "yes",
    files,
  };
}

function words(value: string | undefined): string[] {
  return (value ?? "").split(/\s+/).filter((word) => word !== "");
}

/** RFC 5322 dates in UTC, the only form that archives write. */
function parseDate(value: string): Date | undefined {
  if (
    !/^[A-Z][a-z]{2}, [ \d]?\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (UTC|GMT|\+0000)$/.test(value)
  ) {
    return undefined;
  }
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** The list of files, or what is wrong with it. */
function parseFiles(field: string): Map<string, ReleaseFile> | string {
  const files = new Map<string, ReleaseFile>();
  for (const line of field.split("\n")) {
    if (line.trim() === "") {
      continue;
    }
    const match = /^([0-9a-f]{64}) +(\d{1,15}) +(\S+)$/.exec(line.trim());
    if (match === null) {
      return `the line ${JSON.stringify(line)} in the field SHA256`;
    }
    files.set(match[3]!, { sha256: match[1]!, sizeBytes: Number(match[2]) });
  }
  return files.size === 0 ? "no files in the field SHA256" : files;
}

function checkName(release: Release, request: ReleaseRequest, what: string): void {
  const { suite, codename } = release;
  if (request.suite !== suite && request.suite !== codename) {
    throw new ImageError(
      "signature",
      `Cannot use ${what}: it says that it is ${codename} (${suite}), wanted ${request.suite}. ` +
        "The mirror serves another suite under this name; try another one with --mirror.",
      { what, suite, codename, wanted: request.suite },
    );
  }
}

function checkDates(release: Release, request: ReleaseRequest, what: string): void {
  const { date, validUntil } = release;
  const { now, newestSeen } = request;
  const refuse = (check: string, found: string, advice: string) =>
    new ImageError("expired", `Cannot use ${what}: ${found}. ${advice}`, {
      what,
      check,
      date: date.toISOString(),
      now: now.toISOString(),
      ...(validUntil === undefined ? {} : { validUntil: validUntil.toISOString() }),
      ...(newestSeen === undefined ? {} : { newestSeen: newestSeen.toISOString() }),
    });
  if (date.getTime() > now.getTime() + clockToleranceMs) {
    throw refuse(
      "future",
      `it is dated ${date.toISOString()} and now is ${now.toISOString()}`,
      "Set this machine's clock.",
    );
  }
  if (newestSeen !== undefined && date < newestSeen) {
    throw refuse(
      "rollback",
      `it is dated ${date.toISOString()}, and one of ${newestSeen.toISOString()} was seen before`,
      "The mirror is behind or is held back; try another one with --mirror.",
    );
  }
  if (validUntil !== undefined && validUntil < now && request.ignoreValidUntil !== true) {
    throw refuse(
      "valid-until",
      `it was valid until ${validUntil.toISOString()} and now is ${now.toISOString()}`,
      "Try another mirror with --mirror, or take it all the same with --ignore-valid-until.",
    );
  }
}
