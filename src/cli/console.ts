/** What commands write: data to standard output, messages and progress to standard error. */

/** One line of data on standard output. */
export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One line for a person on standard error. */
export function tell(text: string): void {
  progressLine.clear();
  process.stderr.write(`${text}\n`);
}

/** One event as a JSON line on standard output, for `--json`. */
export function printJson(value: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** The line that is written over while something runs; only on a terminal. */
export const progressLine = {
  show(text: string): void {
    if (!process.stderr.isTTY) return;
    const columns = process.stderr.columns ?? 80;
    process.stderr.write(`\r\x1b[2K${text.slice(0, columns - 1)}`);
  },
  clear(): void {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
  },
};
