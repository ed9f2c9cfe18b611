/** `Packages` indices: which packages an archive has, found by name and by what they provide. */
import { ImageError } from "../error.ts";
import { type Paragraph, parseDeb822 } from "./deb822.ts";
import { parseRelations, type Relation } from "./relation.ts";
import { compareVersions } from "./version.ts";

/** What an index says of one package. */
export interface PackageRecord {
  readonly name: string;
  readonly version: string;
  /** `amd64` or `all`. */
  readonly architecture: string;
  /** Source package, with its version where that differs: `libzstd (1.5.7+dfsg-1)`. */
  readonly source: string;
  /** `required`, `important`, `standard`, `optional` or `extra`. */
  readonly priority: string;
  /** Relation fields as they stand; empty when the package has none. */
  readonly depends: string;
  readonly preDepends: string;
  readonly provides: string;
  readonly conflicts: string;
  readonly breaks: string;
  readonly archive: string;
  readonly suite: string;
  /** Path below the archive's mirror. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** Where a package comes from, and what to fetch, for records that no index describes. */
export type PackageSource = Pick<
  PackageRecord,
  "archive" | "suite" | "path" | "sizeBytes" | "sha256"
>;

/** Packages that can be asked for; several versions of one name may be there. */
export interface PackageIndex {
  readonly packageCount: number;
  /** All packages of this name, latest version first. */
  named(name: string): readonly PackageRecord[];
  /** Packages whose `Provides` names this name, in index order. */
  providersOf(name: string): readonly PackageRecord[];
}

const NEXT_FIELD = "\nProvides: ";

/**
 * Indexes a whole uncompressed `Packages` file. Only names and `Provides` are looked at; a record
 * is parsed when it is asked for: 57 MB (trixie's main, 68 825 packages) take about 0.2 s.
 * @throws ImageError `package` when a paragraph is none, or lacks a field; also later, on asking.
 */
export function parsePackages(
  file: Uint8Array,
  origin: { readonly archive: string; readonly suite: string },
): PackageIndex {
  const text = Buffer.from(file.buffer, file.byteOffset, file.byteLength).toString("latin1");
  const byName = new Map<string, Span[]>();
  const byProvided = new Map<string, Span[]>();
  const records = new Map<Span, PackageRecord>();
  let packageCount = 0;
  let provides = text.indexOf(NEXT_FIELD);
  for (const span of paragraphsOf(text)) {
    packageCount += 1;
    append(byName, nameOf(text, span), span);
    if (provides >= 0 && provides < span.start) {
      provides = text.indexOf(NEXT_FIELD, span.start);
    }
    if (provides >= 0 && provides < span.end) {
      for (const name of providedNames(text, provides + NEXT_FIELD.length)) {
        append(byProvided, name, span);
      }
    }
  }
  const recordOf = (span: Span) => {
    const known = records.get(span);
    const record = known ?? recordFromSpan(text, span, origin);
    records.set(span, record);
    return record;
  };
  return {
    packageCount,
    named: (name) => sortedByVersion((byName.get(name) ?? []).map(recordOf)),
    providersOf: (name) => (byProvided.get(name) ?? []).map(recordOf),
  };
}

/** Several indices as one. */
export function joinIndices(indices: readonly PackageIndex[]): PackageIndex {
  return {
    packageCount: indices.reduce((sum, index) => sum + index.packageCount, 0),
    named: (name) => sortedByVersion(indices.flatMap((index) => index.named(name))),
    providersOf: (name) => indices.flatMap((index) => index.providersOf(name)),
  };
}

/**
 * A release with its backports: those of `names` come from there, and what the release does not
 * have; any other package stays as the release has it.
 */
export function withBackports(
  release: PackageIndex,
  backports: PackageIndex,
  names: ReadonlySet<string>,
): PackageIndex {
  return {
    packageCount: release.packageCount + backports.packageCount,
    named(name) {
      const own = names.has(name) ? [] : release.named(name);
      return own.length > 0 ? own : backports.named(name);
    },
    providersOf(name) {
      const own = release.providersOf(name);
      const others = backports.providersOf(name);
      const wanted = others.filter((record) => own.length === 0 || names.has(record.name));
      return [...own, ...wanted];
    },
  };
}

/** An index of records that are at hand: local packages. */
export function indexRecords(packages: readonly PackageRecord[]): PackageIndex {
  return {
    packageCount: packages.length,
    named: (name) => sortedByVersion(packages.filter((record) => record.name === name)),
    providersOf: (name) =>
      packages.filter((record) => providedBy(record).some((relation) => relation.name === name)),
  };
}

/**
 * The record of a package from the `control` file inside of it.
 * @throws ImageError `package` that names the field that is missing.
 */
export function recordFromControl(control: string, source: PackageSource): PackageRecord {
  const fields = onlyParagraph(control);
  return { ...commonFields(fields), ...source };
}

/** What a package provides, as relations (their constraint is always `=`). */
export function providedBy(record: PackageRecord): readonly Relation[] {
  return parseRelations(record.provides, record.architecture).flat();
}

/** A half-open range of a `Packages` text that holds one paragraph. */
interface Span {
  readonly start: number;
  readonly end: number;
}

function* paragraphsOf(text: string): Generator<Span> {
  let start = 0;
  while (start < text.length) {
    if (text.charCodeAt(start) === NEWLINE) {
      start += 1;
      continue;
    }
    const blank = text.indexOf("\n\n", start);
    const end = blank < 0 ? text.length : blank;
    yield { start, end };
    start = end + 1;
  }
}

const NEWLINE = 10;

/** The `Package` field, which every known archive writes first. */
function nameOf(text: string, span: Span): string {
  const label = "Package: ";
  let from = span.start;
  if (!text.startsWith(label, from)) {
    from = text.indexOf(`\n${label}`, from) + 1;
    if (from === 0 || from >= span.end) {
      throw malformed("a paragraph without the field Package", text.slice(span.start, span.end));
    }
  }
  from += label.length;
  const newline = text.indexOf("\n", from);
  return text.slice(from, newline < 0 || newline > span.end ? span.end : newline).trim();
}

function providedNames(text: string, from: number): string[] {
  const newline = text.indexOf("\n", from);
  const field = text.slice(from, newline < 0 ? text.length : newline);
  return field
    .split(",")
    .map((part) => part.trim().split(/[\s(:]/, 1)[0] ?? "")
    .filter((name) => name !== "");
}

function recordFromSpan(
  text: string,
  span: Span,
  origin: { readonly archive: string; readonly suite: string },
): PackageRecord {
  const paragraph = text.slice(span.start, span.end);
  const fields = onlyParagraph(paragraph);
  const path = required(fields, "filename").replace(/^\.\//, "");
  const sizeBytes = Number(required(fields, "size"));
  const sha256 = required(fields, "sha256").toLowerCase();
  if (!isArchivePath(path)) {
    throw malformed(`the file name ${JSON.stringify(path)}`, paragraph);
  }
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) {
    throw malformed(`the size ${fields.get("size")}`, paragraph);
  }
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw malformed(`the SHA-256 ${sha256}`, paragraph);
  }
  return { ...commonFields(fields), ...origin, path, sizeBytes, sha256 };
}

/** Whether a path stays below the mirror, in characters that need no thought in a URL. */
export function isArchivePath(path: string): boolean {
  return path.split("/").every((part) => /^[\w+~:@=-][\w+.~:@=-]*$/.test(part));
}

function commonFields(fields: Paragraph): Omit<PackageRecord, keyof PackageSource> {
  const name = required(fields, "package");
  return {
    name,
    version: required(fields, "version"),
    architecture: required(fields, "architecture"),
    source: fields.get("source") ?? name,
    priority: fields.get("priority") ?? "optional",
    depends: fields.get("depends") ?? "",
    preDepends: fields.get("pre-depends") ?? "",
    provides: fields.get("provides") ?? "",
    conflicts: fields.get("conflicts") ?? "",
    breaks: fields.get("breaks") ?? "",
  };
}

function onlyParagraph(text: string): Paragraph {
  const parsed = parseDeb822(text);
  if (!parsed.ok) {
    throw malformed(`${parsed.reason} in line ${parsed.line}`, text);
  }
  const [fields, ...more] = parsed.paragraphs;
  if (fields === undefined || more.length > 0) {
    throw malformed(`${parsed.paragraphs.length} paragraphs`, text);
  }
  return fields;
}

function required(fields: Paragraph, field: string): string {
  const value = fields.get(field);
  if (value === undefined || value === "") {
    throw malformed(`no field ${field}`, [...fields].map((pair) => pair.join(": ")).join("\n"));
  }
  return value;
}

function malformed(found: string, paragraph: string): ImageError {
  const shown = paragraph.slice(0, 80).split("\n", 1)[0] ?? "";
  return new ImageError(
    "package",
    `Cannot read the description of a package that begins with ${JSON.stringify(shown)}: ` +
      `found ${found}. The archive or the local package is damaged; try another mirror.`,
    { found, paragraph },
  );
}

function append(map: Map<string, Span[]>, key: string, span: Span): void {
  const list = map.get(key);
  if (list === undefined) {
    map.set(key, [span]);
  } else {
    list.push(span);
  }
}

/** Latest first; packages of one version stay in the order in which they came. */
function sortedByVersion(records: readonly PackageRecord[]): readonly PackageRecord[] {
  return [...records].sort((a, b) => compareVersions(b.version, a.version));
}
