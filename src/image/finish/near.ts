/** "Did you mean": the names that a mistyped one may have meant. */

const suggestionsMax = 3;

/**
 * The candidates nearest to `name`, best first, at most three: those that contain it or are
 * contained in it, and those within a third of its length in edits.
 */
export function nearNames(name: string, candidates: Iterable<string>): string[] {
  const distanceMax = Math.max(2, Math.floor(name.length / 3));
  const scored: { candidate: string; score: number }[] = [];
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    const stem = candidate.replace(/\.[a-z]+$/, "");
    const related = stem.includes(name.replace(/\.[a-z]+$/, "")) || name.includes(stem);
    if (distance <= distanceMax || related) {
      scored.push({ candidate, score: distance });
    }
  }
  scored.sort((a, b) => a.score - b.score || (a.candidate < b.candidate ? -1 : 1));
  return scored.slice(0, suggestionsMax).map((each) => each.candidate);
}

/** The end of a message: ` Near: a, b.`, or nothing. */
export function nearSentence(name: string, candidates: Iterable<string>): string {
  const near = nearNames(name, candidates);
  return near.length === 0 ? "" : ` Near: ${near.join(", ")}.`;
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}
