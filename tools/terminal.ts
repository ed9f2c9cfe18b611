/**
 * A terminal's screen, as far as our commands use one: text, line ends, colours that are left out,
 * the cursor up, to a column and over the line, and erasing. ECMA-48, 5th edition, §8.3.
 */

/** What sequences begin with. */
export const introducer = String.fromCharCode(0x1b);
const bell = String.fromCharCode(7);
const sequence = new RegExp(
  `${introducer}\\[([?\\d;]*)([A-Za-z])|${introducer}\\][^${bell}]*${bell}|\\r|\\n|[^${introducer}\\r\\n]+`,
  "gu",
);

/** Lines as they stand; one character is one column. */
export class Screen {
  readonly #lines: string[][] = [[]];
  #row = 0;
  #column = 0;

  /** What stands on it, without blanks at the ends of lines. */
  get lines(): readonly string[] {
    return this.#lines.map((cells) => cells.join("").trimEnd());
  }

  /** Takes what a program has written; sequences must be whole. */
  write(text: string): void {
    for (const [all, parameters = "", final] of text.matchAll(sequence)) {
      if (all === "\r") this.#column = 0;
      else if (all === "\n") this.#moveTo(this.#row + 1);
      else if (final !== undefined) this.#control(final, parameters);
      else if (!all.startsWith(introducer)) this.#print(all);
    }
  }

  #print(text: string): void {
    const line = this.#lines[this.#row] ?? [];
    while (line.length < this.#column) line.push(" ");
    for (const character of text) line[this.#column++] = character;
  }

  #control(final: string, parameters: string): void {
    const count = Number(parameters || 1);
    if (final === "A") this.#moveTo(Math.max(0, this.#row - count));
    else if (final === "G") this.#column = count - 1;
    else if (final === "K") this.#eraseLine(parameters || "0");
    else if (final === "J") this.#eraseBelow();
  }

  #moveTo(row: number): void {
    this.#row = row;
    while (this.#lines.length <= row) this.#lines.push([]);
  }

  #eraseLine(kind: string): void {
    const line = this.#lines[this.#row];
    if (kind === "2") line?.splice(0);
    else if (kind === "0") line?.splice(this.#column);
  }

  #eraseBelow(): void {
    this.#eraseLine("0");
    this.#lines.splice(this.#row + 1);
  }
}
