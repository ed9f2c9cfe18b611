/** The host's apt sources, and which of them are mirrors of Debian (sources.list(5)). */
import { ImageError } from "../error.ts";
import { type Paragraph, parseDeb822 } from "./deb822.ts";

/** The archives that images are made from; lock files name them so. */
export type ArchiveName = "debian" | "debian-security";

/** One place that apt takes binary packages from. */
export interface AptSource {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Key file or keys that apt wants; empty when none is told. */
  readonly signedBy: string;
}

/** Base URL of each archive, without a slash at the end. */
export type Mirrors = Readonly<Record<ArchiveName, string>>;

/** What the user said about mirrors; it wins over apt's configuration. */
export interface MirrorOptions {
  readonly mirror?: string;
  /** Made from `mirror` when only that is given: `…/debian` → `…/debian-security`. */
  readonly securityMirror?: string;
}

/** Reads a `*.list` file; lines that are no binary source, or damaged, are passed over. */
export function parseOneLineSources(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split("\n")) {
    const content = line.replace(/#.*/, "").trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)((?:\s+\S+)*)$/.exec(content);
    if (match !== null) {
      const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(match[1] ?? "")?.[1] ?? "";
      const components = words(match[4] ?? "");
      sources.push({ uri: match[2]!, suites: [match[3]!], components, signedBy });
    }
  }
  return sources;
}

/** Reads a `*.sources` file; disabled entries and those without `deb` are passed over. */
export function parseDeb822Sources(text: string): AptSource[] {
  const parsed = parseDeb822(text);
  return parsed.ok ? parsed.paragraphs.flatMap(sourcesOf) : [];
}

/** The URLs in a list that a `mirror+file:` source names: the first word of each line. */
export function parseMirrorList(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim().split(/\s/, 1)[0] ?? "")
    .filter((uri) => isHttp(uri));
}

/**
 * Settles the mirrors: options first, then the best of apt's sources.
 *
 * Others publish for Debian under a `/debian` of their own, so an entry must offer `main`, and
 * among several the one with most signs of being Debian itself wins, the first one of equals.
 * @throws ImageError `mirror` when there is none, naming the option that tells it.
 */
export function chooseMirrors(sources: readonly AptSource[], options: MirrorOptions): Mirrors {
  const debian =
    options.mirror ?? best(sources, (source) => score(source, "debian", /^[a-z]+(-updates)?$/));
  if (debian === undefined) {
    throw missing(
      "the Debian archive",
      "this machine's apt configuration names none",
      "--mirror URL",
      "http://mirror.example.org/debian",
    );
  }
  const configured =
    options.mirror === undefined
      ? best(sources, (source) => score(source, "debian-security", /^[a-z]+-security$/))
      : undefined;
  const security = options.securityMirror ?? configured ?? siblingOf(debian);
  if (security === undefined) {
    throw missing(
      "Debian's security archive",
      options.mirror === undefined
        ? "this machine's apt configuration names none"
        : "it is found beside a --mirror that ends in /debian, and this one does not",
      "--security-mirror URL",
      "http://mirror.example.org/debian-security",
    );
  }
  return {
    debian: checked(debian, "--mirror"),
    "debian-security": checked(security, "--security-mirror"),
  };
}

function sourcesOf(paragraph: Paragraph): AptSource[] {
  const list = (field: string) => words(paragraph.get(field) ?? "");
  const isEnabled = !/^(no|false|without|off|disable)$/i.test(paragraph.get("enabled") ?? "yes");
  if (!isEnabled || !list("types").includes("deb")) {
    return [];
  }
  const rest = {
    suites: list("suites"),
    components: list("components"),
    signedBy: paragraph.get("signed-by") ?? "",
  };
  return list("uris").map((uri) => ({ uri, ...rest }));
}

function words(value: string): string[] {
  return value.split(/\s+/).filter((word) => word !== "");
}

const CODE_NAMES = /^(bullseye|bookworm|trixie|forky|duke|sid|oldstable|stable|testing|unstable)\b/;

/** How many signs there are that a source is this archive; 0 when it is not. */
function score(source: AptSource, folder: ArchiveName, suites: RegExp): number {
  if (!isHttp(source.uri) || !source.components.some((name) => /^(updates\/)?main$/.test(name))) {
    return 0;
  }
  const isFolder = new URL(source.uri).pathname.replace(/\/+$/, "").endsWith(`/${folder}`);
  const isSuite = source.suites.some((name) => CODE_NAMES.test(name) && suites.test(name));
  if (!isFolder && !isSuite) {
    return 0;
  }
  const isSigned = source.signedBy.includes("debian-archive");
  return Number(isSigned) * 4 + Number(isFolder) * 2 + Number(isSuite);
}

function best(
  sources: readonly AptSource[],
  scoreOf: (source: AptSource) => number,
): string | undefined {
  let bestScore = 0;
  let uri: string | undefined;
  for (const source of sources) {
    const points = scoreOf(source);
    if (points > bestScore) {
      bestScore = points;
      uri = source.uri;
    }
  }
  return uri;
}

function siblingOf(mirror: string): string | undefined {
  const match = /^(.*\/debian)\/*$/.exec(mirror);
  return match === null ? undefined : `${match[1]}-security`;
}

function isHttp(uri: string): boolean {
  return /^https?:\/\//i.test(uri) && URL.canParse(uri);
}

function checked(uri: string, option: string): string {
  if (!isHttp(uri)) {
    throw new ImageError(
      "mirror",
      `Cannot use ${JSON.stringify(uri)} as a package mirror: wanted a URL that begins with ` +
        `http:// or https://. Give one with ${option}.`,
      { uri, option },
    );
  }
  return uri.replace(/\/+$/, "");
}

function missing(archive: string, why: string, option: string, example: string): ImageError {
  return new ImageError(
    "mirror",
    `Cannot find a mirror of ${archive}: ${why}. Give one with ${option}, for example ${example}.`,
    { archive, option },
  );
}
