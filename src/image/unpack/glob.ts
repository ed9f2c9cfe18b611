/** Globs over canonical paths, compiled to regular expressions. */

/** Tells whether a path matches. */
export type PathMatcher = (path: string) => boolean;

/** How many sets of globs stay compiled; a build has a handful. */
const cachedMatchersMax = 256;
const matchers = new Map<string, PathMatcher>();

/**
 * A matcher for paths that fit at least one of `globs`. `*` and `?` stand for characters other
 * than `/`, `**` for any number of whole names, `{a,b}` for one of several; all else is literal.
 * `a/**` matches what lies below `a` and not `a` itself. The result is kept for the next call.
 */
export function matcherOf(globs: readonly string[]): PathMatcher {
  const key = globs.join("\0");
  const known = matchers.get(key);
  if (known !== undefined) return known;
  const made = compile(globs);
  if (matchers.size >= cachedMatchersMax) matchers.clear();
  matchers.set(key, made);
  return made;
}

function compile(globs: readonly string[]): PathMatcher {
  if (globs.length === 0) return () => false;
  const expression = new RegExp(`^(?:${globs.map(patternOf).join("|")})$`, "su");
  return (path) => expression.test(path);
}

/** What a glob is made of; braces do not nest, and an unclosed one is a literal character. */
const tokens = /(?<=^|\/)\*\*\/|\/\*\*$|\*\*|\*|\?|\{[^{}]*\}|./gsu;

/** The regular expression of one glob. */
function patternOf(glob: string): string {
  return glob.replace(tokens, (token) => {
    if (token === "**/") return "(?:[^/]+/)*";
    if (token === "/**") return "/.+";
    if (token === "**") return ".*";
    if (token === "*") return "[^/]*";
    if (token === "?") return "[^/]";
    if (token.length > 1 && token.startsWith("{")) {
      return `(?:${token.slice(1, -1).split(",").map(patternOf).join("|")})`;
    }
    return token.replace(/[\\^$.*+?()[\]{}|/]/u, "\\$&");
  });
}
