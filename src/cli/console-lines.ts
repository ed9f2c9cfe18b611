/** Text of a console as it comes, cut into lines, and searched. Pure. */

import { stripVTControlCharacters } from "node:util";

/** Of a line that does not end, the last characters are kept. */
const lineCharactersMax = 16 * 1024;

/** A search that goes on. */
interface Search {
  readonly pattern: RegExp;
  readonly found: (line: string) => void;
}

/** Lines, and the one that is not complete: a prompt has no end. */
export class ConsoleLines {
  readonly #decoder = new TextDecoder();
  readonly #searches = new Set<Search>();
  #line = "";

  /** Takes what came next. */
  push(bytes: Uint8Array): void {
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split(/\r\n?|\n/);
    this.#line = lines.at(-1)?.slice(-lineCharactersMax) ?? "";
    for (const line of lines) this.#look(line);
  }

  /** Resolves with the first line that has a match, without control characters. */
  find(pattern: RegExp): Promise<string> {
    // What was there before is not searched.
    this.#line = "";
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#searches.add({ pattern, found: resolve });
    return promise;
  }

  #look(line: string): void {
    const text = stripVTControlCharacters(line).replace(/[^\P{C}\t]/gu, "");
    for (const search of this.#searches) {
      if (text === "" || text.search(search.pattern) === -1) continue;
      this.#searches.delete(search);
      search.found(text);
    }
  }
}
