/** Text of a console as it comes, cut into lines, and searched. Pure. */

import { stripVTControlCharacters } from "node:util";

/** Of a line that does not end, the last characters are kept. */
const lineCharactersMax = 16 * 1024;
/** So many lines are kept to be shown. */
const lastLinesMax = 100;

/** A search that goes on. */
interface Search {
  readonly pattern: RegExp;
  readonly found: (line: string) => void;
}

/** Lines, and the one that is not complete: a prompt has no end. */
export class ConsoleLines {
  readonly #decoder = new TextDecoder();
  readonly #searches = new Set<Search>();
  readonly #last: string[] = [];
  #line = "";

  /** Takes what came next. */
  push(bytes: Uint8Array): void {
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split(/\r\n?|\n/);
    this.#line = lines.at(-1)?.slice(-lineCharactersMax) ?? "";
    for (const line of lines) this.#look(line);
    for (const line of lines.slice(0, -1)) this.#keep(line);
  }

  /** The last lines that were not empty, one without an end among them. */
  last(): readonly string[] {
    const open = printable(this.#line);
    return open === "" ? [...this.#last] : [...this.#last, open];
  }

  /** Resolves with the first line that has a match, without control characters. */
  find(pattern: RegExp): Promise<string> {
    // What was there before is not searched.
    this.#keep(this.#line);
    this.#line = "";
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#searches.add({ pattern, found: resolve });
    return promise;
  }

  #look(line: string): void {
    const text = printable(line);
    for (const search of this.#searches) {
      if (text === "" || text.search(search.pattern) === -1) continue;
      this.#searches.delete(search);
      search.found(text);
    }
  }

  #keep(line: string): void {
    const text = printable(line);
    if (text.trim() !== "") this.#last.push(text);
    if (this.#last.length > lastLinesMax) this.#last.shift();
  }
}

/** Without control characters. */
function printable(line: string): string {
  return stripVTControlCharacters(line).replace(/[^\P{C}\t]/gu, "");
}
