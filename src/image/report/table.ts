/** Text tables for people. */

/** A column: its title, and whether it is numbers (right-aligned). */
export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Lines of a table with two spaces between columns; no line ends with spaces. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string[] {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? "").length)));
  return lines.map((line) =>
    columns
      .map(({ align }, i) => {
        const cell = line[i] ?? "";
        return align === "right" ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!);
      })
      .join("  ")
      .trimEnd(),
  );
}
