/** Order of Debian package versions, as dpkg has it (deb-version(7)). */

/** A version in its three parts; the revision is empty when there is none. */
interface VersionParts {
  readonly epoch: string;
  readonly upstream: string;
  readonly revision: string;
}

/** How a relation compares versions: strictly earlier, …, strictly later. */
export type VersionOperator = "<<" | "<=" | "=" | ">=" | ">>";

/**
 * Compares two versions: negative when `left` is earlier, 0 when dpkg holds them for equal
 * (`1.0` and `1.0-0`), positive when it is later. Any text has a place in the order.
 */
export function compareVersions(left: string, right: string): number {
  if (left === right) {
    return 0;
  }
  const a = splitVersion(left);
  const b = splitVersion(right);
  return (
    compareNumbers(a.epoch, b.epoch) ||
    compareParts(a.upstream, b.upstream) ||
    compareParts(a.revision, b.revision)
  );
}

/** Whether `version` stands in the relation `operator` to `bound`. */
export function versionSatisfies(
  version: string,
  operator: VersionOperator,
  bound: string,
): boolean {
  const order = compareVersions(version, bound);
  switch (operator) {
    case "<<":
      return order < 0;
    case "<=":
      return order <= 0;
    case "=":
      return order === 0;
    case ">=":
      return order >= 0;
    case ">>":
      return order > 0;
  }
}

/** The epoch ends at the first colon, the revision begins after the last hyphen. */
function splitVersion(version: string): VersionParts {
  const colon = version.indexOf(":");
  const rest = version.slice(colon + 1);
  const hyphen = rest.lastIndexOf("-");
  return {
    epoch: colon < 0 ? "" : version.slice(0, colon),
    upstream: hyphen < 0 ? rest : rest.slice(0, hyphen),
    revision: hyphen < 0 ? "" : rest.slice(hyphen + 1),
  };
}

/** dpkg's verrevcmp: runs of non-digits by `rank`, runs of digits by value, in turns. */
function compareParts(a: string, b: string): number {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a, i)) || (j < b.length && !isDigit(b, j))) {
      const order = rank(a, i) - rank(b, j);
      if (order !== 0) {
        return order;
      }
      i += 1;
      j += 1;
    }
    const aEnd = endOfDigits(a, i);
    const bEnd = endOfDigits(b, j);
    const order = compareNumbers(a.slice(i, aEnd), b.slice(j, bEnd));
    if (order !== 0) {
      return order;
    }
    i = aEnd;
    j = bEnd;
  }
  return 0;
}

/** Tilde, then the end and digits, then letters, then everything else by its code. */
function rank(text: string, index: number): number {
  if (index >= text.length || isDigit(text, index)) {
    return 0;
  }
  const code = text.charCodeAt(index);
  if (code === TILDE) {
    return -1;
  }
  const isLetter = (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
  return isLetter ? code : code + 256;
}

const TILDE = 0x7e;

function isDigit(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code >= 48 && code <= 57;
}

function endOfDigits(text: string, from: number): number {
  let end = from;
  while (end < text.length && isDigit(text, end)) {
    end += 1;
  }
  return end;
}

/** Digit strings by value, of any length; an empty one is 0. */
function compareNumbers(left: string, right: string): number {
  const a = left.replace(/^0+/, "");
  const b = right.replace(/^0+/, "");
  if (a.length !== b.length) {
    return a.length - b.length;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}
