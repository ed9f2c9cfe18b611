/** Cuts bytes into lines, each no longer than a bound. */

/** What came: a line without its line break, or the end of all understanding. */
export type LineItem =
  | { readonly kind: "line"; readonly text: string }
  /** Not UTF-8; the next line may be. */
  | { readonly kind: "fault"; readonly reason: "encoding" }
  /** Nothing more can be made of what follows. */
  | { readonly kind: "fault"; readonly reason: "too-long"; readonly bytesMax: number };

const lineFeed = 0x0a;

/** A decoder of lines; holds at most `bytesMax` bytes of a line that is not whole yet. */
export class LineDecoder {
  readonly #bytesMax: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #pieces: Uint8Array[] = [];
  #heldBytes = 0;
  #hasFailed = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The lines that end in this chunk; empty lines are passed over. */
  *push(chunk: Uint8Array): Generator<LineItem> {
    let start = 0;
    while (!this.#hasFailed) {
      const end = chunk.indexOf(lineFeed, start);
      const part = chunk.subarray(start, end === -1 ? chunk.length : end);
      if (this.#heldBytes + part.length > this.#bytesMax) {
        this.#hasFailed = true;
        this.#pieces = [];
        yield { kind: "fault", reason: "too-long", bytesMax: this.#bytesMax };
        return;
      }
      this.#heldBytes += part.length;
      if (end === -1) {
        // A copy: the chunk may be the driver's to fill again.
        if (part.length > 0) this.#pieces.push(new Uint8Array(part));
        return;
      }
      const line = this.#pieces.length === 0 ? part : Buffer.concat([...this.#pieces, part]);
      this.#pieces = [];
      this.#heldBytes = 0;
      start = end + 1;
      const item = this.#decode(line);
      if (item !== null) yield item;
    }
  }

  #decode(line: Uint8Array): LineItem | null {
    try {
      const text = this.#decoder.decode(line).trim();
      return text === "" ? null : { kind: "line", text };
    } catch {
      return { kind: "fault", reason: "encoding" };
    }
  }
}
