/**
 * The text of a serial line: bytes in, readable text out, and search in it.
 *
 * Firmware and systemd paint with control sequences (ECMA-48 CSI, OSC and DCS). They are removed,
 * so that a pattern matches what a person reads.
 */

/** Most characters that are kept; older ones are dropped. */
const serialCharactersMax = 16 * 1024 * 1024;

/** Where a pattern was found. Positions count from the machine's first character. */
export interface SerialMatch {
  readonly text: string;
  /** The groups of a regular expression, the whole match first. */
  readonly groups: readonly (string | undefined)[];
  /** Position of the first character after the match: `after` for the next search. */
  readonly end: number;
}

type State =
  /** Plain text. */
  | "text"
  /** After ESC. */
  | "escape"
  /** After ESC and a character that needs one more. */
  | "escape-one-more"
  /** In ESC [ …, up to a final character. */
  | "csi"
  /** In OSC, DCS, APC, PM or SOS, up to BEL or ESC \. */
  | "string"
  /** In one of those, after ESC. */
  | "string-escape";

/** Removes control sequences from text, however it is cut. Carriage returns go too. */
export class ControlStripper {
  #state: State = "text";

  /** Takes the next characters; returns what is readable of them. */
  push(text: string): string {
    let readable = "";
    for (const character of text) {
      if (this.#state === "text" && isReadable(character)) readable += character;
      else this.#state = nextState(this.#state, character);
    }
    return readable;
  }
}

function isReadable(character: string): boolean {
  return character >= " " ? character !== "\x7f" : character === "\n" || character === "\t";
}

function nextState(state: State, character: string): State {
  switch (state) {
    case "text":
      return character === "\x1b" ? "escape" : "text";
    case "escape":
      if (character === "[") return "csi";
      if ("]P_^X".includes(character)) return "string";
      return character >= " " && character <= "/" ? "escape-one-more" : "text";
    case "csi":
      if (character === "\x1b") return "escape";
      return character >= "@" && character <= "~" ? "text" : "csi";
    case "string":
      if (character === "\x1b") return "string-escape";
      return character === "\x07" ? "text" : "string";
    case "escape-one-more":
    case "string-escape":
      return "text";
  }
}

/** All that a machine has written to its serial line, up to `serialCharactersMax`. */
export class SerialLog {
  readonly #charactersMax: number;
  readonly #decoder = new TextDecoder();
  readonly #stripper = new ControlStripper();
  #text = "";
  #dropped = 0;

  constructor(charactersMax: number = serialCharactersMax) {
    this.#charactersMax = charactersMax;
  }

  /** The readable text, from the oldest character that is kept. */
  get text(): string {
    return this.#text;
  }

  /** Position after the last character: give it as `after` to search only what comes next. */
  get end(): number {
    return this.#dropped + this.#text.length;
  }

  append(bytes: Uint8Array): void {
    this.#text += this.#stripper.push(this.#decoder.decode(bytes, { stream: true }));
    const excess = this.#text.length - this.#charactersMax;
    if (excess <= 0) return;
    // A quarter more is dropped, so that a long log is not moved with every chunk.
    const count = Math.min(this.#text.length, excess + Math.ceil(this.#charactersMax / 4));
    this.#text = this.#text.slice(count);
    this.#dropped += count;
  }

  /** The first match at or after a position. */
  find(pattern: string | RegExp, after = 0): SerialMatch | undefined {
    const from = Math.max(0, after - this.#dropped);
    if (typeof pattern === "string") {
      const at = this.#text.indexOf(pattern, from);
      if (at === -1) return undefined;
      return { text: pattern, groups: [pattern], end: this.#dropped + at + pattern.length };
    }
    // A copy: the caller's own pattern may carry a position from one search to the next.
    const search = new RegExp(pattern.source, `${pattern.flags.replace(/[gy]/g, "")}g`);
    search.lastIndex = from;
    const match = search.exec(this.#text);
    if (match === null) return undefined;
    const end = this.#dropped + match.index + match[0].length;
    return { text: match[0], groups: [...match], end };
  }

  /** The last lines that are not blank. */
  lastLines(count: number): string {
    const lines = this.#text.split("\n").filter((line) => line.trim() !== "");
    return lines.slice(-count).join("\n");
  }
}
