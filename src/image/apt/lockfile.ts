/** Lock files: text to checked value and back. */
import { ImageError } from "../error.ts";
import type {
  Lock,
  LockedNpmPackage,
  LockedPackage,
  LockedRelease,
  LockedRequest,
  MaintainerScript,
} from "../lock.ts";
import { isArchivePath } from "./packages.ts";

/** The scripts that a lock may name, in the order in which dpkg would run them. */
export const maintainerScripts: readonly MaintainerScript[] = [
  "preinst",
  "postinst",
  "prerm",
  "postrm",
  "config",
  "triggers",
];

/**
 * Reads a lock file; what is not as `Lock` has it is refused, unknown fields too.
 * @param what Names the file in messages.
 * @throws ImageError `lock` that names the field.
 */
export function parseLock(text: string, what: string): Lock {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refusal(what, "no JSON", "a lock file", cause);
  }
  const root = new Reader(value, what, "");
  if (root.object().format !== 1) {
    throw refusal(what, `the format ${JSON.stringify(root.object().format)}`, "format 1");
  }
  const hasRequest = Object.hasOwn(root.object(), "request");
  const fields = root.fields([
    "format",
    "appliance",
    ...(hasRequest ? ["request" as const] : []),
    "releases",
    "packages",
    "npm",
    "ids",
    "epochSeconds",
  ]);
  const packages = fields("packages").list(readPackage);
  const names = packages.map(({ name }) => name);
  const outOfPlace = names.find((name, index) => index > 0 && names[index - 1]! >= name);
  if (outOfPlace !== undefined) {
    throw refusal(what, `${outOfPlace} out of order or twice in packages`, "names sorted");
  }
  return {
    format: 1,
    appliance: fields("appliance").text(/./),
    ...(hasRequest ? { request: readRequest(fields("request")) } : {}),
    releases: fields("releases").list(readRelease),
    packages,
    npm: fields("npm").list(readNpm),
    ids: fields("ids").record((id) => id.integer(cpioNumberMax)),
    epochSeconds: fields("epochSeconds").integer(cpioNumberMax),
  };
}

/** The one text of a lock: two blanks of indentation, everything sorted, a newline at the end. */
export function stringifyLock(lock: Lock): string {
  const ordered: Lock = {
    format: lock.format,
    appliance: lock.appliance,
    ...(lock.request === undefined ? {} : { request: orderedRequest(lock.request) }),
    releases: lock.releases
      .map(({ archive, suite, date, sha256 }) => ({ archive, suite, date, sha256 }))
      .toSorted(by(({ archive, suite }) => `${archive} ${suite}`)),
    packages: lock.packages
      .map(({ name, version, architecture, archive, path, sizeBytes, sha256, scripts }) => ({
        name,
        version,
        architecture,
        archive,
        path,
        sizeBytes,
        sha256,
        scripts: sortedRecord(scripts),
      }))
      .toSorted(by(({ name }) => name)),
    npm: lock.npm
      .map(({ name, version, integrity }) => ({ name, version, integrity }))
      .toSorted(by(({ name }) => name)),
    ids: sortedRecord(lock.ids),
    epochSeconds: lock.epochSeconds,
  };
  return `${JSON.stringify(ordered, undefined, 2)}\n`;
}

function by<T>(keyOf: (item: T) => string): (a: T, b: T) => number {
  return (a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0);
}

function sortedRecord<T extends Readonly<Record<string, unknown>>>(record: T): T {
  return Object.fromEntries(Object.entries(record).sort(by(([name]) => name))) as T;
}

function orderedRequest({ packages, excluded, backports }: LockedRequest): LockedRequest {
  return {
    packages: [...packages].sort(),
    excluded: [...excluded].sort(),
    backports: [...backports].sort(),
  };
}

const SHA256 = /^[0-9a-f]{64}$/;
const NAME = /^[a-z0-9][a-z0-9+.-]*$/;

/** Ids and times stand in the image in as many bits. */
const cpioNumberMax = 0xffffffff;

function readRequest(entry: Reader): LockedRequest {
  const fields = entry.fields(["packages", "excluded", "backports"]);
  const names = (field: Reader) => field.list((name) => name.text(NAME));
  return {
    packages: names(fields("packages")),
    excluded: names(fields("excluded")),
    backports: names(fields("backports")),
  };
}

function readPackage(entry: Reader): LockedPackage {
  const fields = entry.fields([
    "name",
    "version",
    "architecture",
    "archive",
    "path",
    "sizeBytes",
    "sha256",
    "scripts",
  ]);
  const path = fields("path");
  if (!isArchivePath(path.text(/./))) {
    throw path.fault("a path below a mirror");
  }
  const scripts = fields("scripts").record((hash) => hash.text(SHA256));
  for (const name of Object.keys(scripts)) {
    if (!maintainerScripts.some((script) => script === name)) {
      throw fields("scripts").fault(`none but ${maintainerScripts.join(", ")}`);
    }
  }
  return {
    name: fields("name").text(NAME),
    version: fields("version").text(/^[\w.+:~-]+$/),
    architecture: fields("architecture").text(/^[a-z0-9-]+$/),
    archive: fields("archive").text(/^[a-z0-9-]+$/),
    path: path.text(/./),
    sizeBytes: fields("sizeBytes").integer(),
    sha256: fields("sha256").text(SHA256),
    scripts,
  };
}

function readRelease(entry: Reader): LockedRelease {
  const fields = entry.fields(["archive", "suite", "date", "sha256"]);
  return {
    archive: fields("archive").text(/^[a-z0-9-]+$/),
    suite: fields("suite").text(/^[\w.-]+$/),
    date: fields("date").text(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/),
    sha256: fields("sha256").text(SHA256),
  };
}

function readNpm(entry: Reader): LockedNpmPackage {
  const fields = entry.fields(["name", "version", "integrity"]);
  return {
    name: fields("name").text(/^(@[a-z0-9][\w.-]*\/)?[a-z0-9][\w.-]*$/),
    version: fields("version").text(/^\d+\.\d+\.\d+[\w.+-]*$/),
    integrity: fields("integrity").text(/^sha512-[A-Za-z0-9+/]{86}==$/),
  };
}

/** A JSON value and where it stands; each method gives it as one type or refuses. */
class Reader {
  readonly #value: unknown;
  readonly #what: string;
  readonly #place: string;

  constructor(value: unknown, what: string, place: string) {
    this.#value = value;
    this.#what = what;
    this.#place = place;
  }

  object(): Readonly<Record<string, unknown>> {
    const value = this.#value;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw this.fault("an object");
    }
    return value as Readonly<Record<string, unknown>>;
  }

  /** Readers of exactly these fields, all of which must be there. */
  fields<const Name extends string>(names: readonly Name[]): (name: Name) => Reader {
    const value = this.object();
    const unknown = Object.keys(value).find((key) => !names.some((name) => name === key));
    if (unknown !== undefined) {
      throw this.#at(value[unknown], unknown).fault("no such field");
    }
    const missing = names.find((name) => !Object.hasOwn(value, name));
    if (missing !== undefined) {
      throw this.fault(`a field ${missing}`);
    }
    return (name) => this.#at(value[name], name);
  }

  record<T>(read: (entry: Reader) => T): Readonly<Record<string, T>> {
    const entries = Object.entries(this.object());
    return Object.fromEntries(entries.map(([key, item]) => [key, read(this.#at(item, key))]));
  }

  list<T>(read: (entry: Reader) => T): readonly T[] {
    if (!Array.isArray(this.#value)) {
      throw this.fault("a list");
    }
    return this.#value.map((item, index) => read(this.#at(item, String(index))));
  }

  text(pattern: RegExp): string {
    if (typeof this.#value !== "string" || !pattern.test(this.#value)) {
      throw this.fault(`text of the form ${pattern.source}`);
    }
    return this.#value;
  }

  integer(max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#value;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max) {
      throw this.fault(`a whole number from 0 to ${max}`);
    }
    return value;
  }

  fault(wanted: string): ImageError {
    const found = JSON.stringify(this.#value) ?? "nothing";
    const shown = found.length > 80 ? `${found.slice(0, 80)}…` : found;
    return refusal(this.#what, `${shown} at ${this.#place || "the top"}`, wanted);
  }

  #at(value: unknown, key: string): Reader {
    return new Reader(value, this.#what, this.#place === "" ? key : `${this.#place}.${key}`);
  }
}

function refusal(what: string, found: string, wanted: string, cause?: unknown): ImageError {
  return new ImageError(
    "lock",
    `Cannot read the lock file ${what}: found ${found}, wanted ${wanted}. ` +
      "Restore it, or remove it and make it anew with --update.",
    { what, found, wanted },
    { cause },
  );
}
