/** What commands write: data to standard output, messages and progress to standard error. */

/**
 * Without what a terminal would obey: serial numbers, labels and messages come from boxes, and whose
 * box it is may not be known yet.
 */
export function visible(text: string): string {
  return text.replace(/[^\P{C}\n\t]/gu, "?");
}

/** One line of data on standard output. */
export function printLine(text: string): void {
  process.stdout.write(`${visible(text)}\n`);
}

/** One line for a person on standard error. */
export function tell(text: string): void {
  progressLine.clear();
  process.stderr.write(`${visible(text)}\n`);
}

/** One event as a JSON line on standard output, for `--json`. */
export function printJson(value: Readonly<Record<string, unknown>>): void {
  // JSON leaves DEL and the second set of control characters as they are, which terminals obey, too.
  const text = JSON.stringify(value).replace(/[\x7f-\x9f]/g, (character) => {
    return `\\u00${character.charCodeAt(0).toString(16)}`;
  });
  process.stdout.write(`${text}\n`);
}

/** The line that is written over while something runs; only on a terminal. */
export const progressLine = {
  show(text: string): void {
    if (!process.stderr.isTTY) return;
    const columns = process.stderr.columns ?? 80;
    process.stderr.write(`\r\x1b[2K${visible(text).slice(0, columns - 1)}`);
  },
  clear(): void {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
  },
};
