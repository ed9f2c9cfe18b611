/**
 * A scanner for TypeScript source: what is code, what is a string, and what the code imports.
 *
 * It knows comments, strings, templates and regular expressions, and nothing of the grammar; that
 * is enough to find imports and the names of globals.
 */

/** A file of the project; its path is relative to the root, with forward slashes. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** One import, re-export, dynamic import, or `new URL(…, import.meta.url)` of a script. */
export interface Import {
  readonly specifier: string;
  /** Erased when the code runs. */
  readonly typeOnly: boolean;
}

/** Source without what is not code. */
export interface ScannedCode {
  /**
   * The code; comments and regular expressions are blank, and a string stands as `"N"`, the place
   * of its text in `strings`.
   */
  readonly code: string;
  readonly strings: readonly string[];
}

/** A slash after one of these begins a regular expression; after anything else it divides. */
const beforeRegExp = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|await))$/;

/** Separates code from the rest. */
export function scanCode(text: string): ScannedCode {
  const scanner = new Scanner(text);
  scanner.scanUntil(undefined);
  return { code: scanner.code, strings: scanner.strings };
}

class Scanner {
  readonly strings: string[] = [];
  code = "";
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Scans code up to the closing brace of a template's `${`, or to the end. */
  scanUntil(end: "}" | undefined): void {
    let depth = 0;
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at]!;
      const two = this.#text.slice(this.#at, this.#at + 2);
      if (two === "//") this.#skipTo("\n", 0);
      else if (two === "/*") this.#skipTo("*/", 2);
      else if (character === '"' || character === "'") this.#takeString(character);
      else if (character === "`") this.#takeTemplate();
      else if (character === "/" && beforeRegExp.test(this.code.trimEnd())) this.#skipRegExp();
      else {
        if (character === "{") depth++;
        if (character === "}" && end !== undefined && depth-- === 0) return;
        this.code += character;
        this.#at++;
      }
    }
  }

  #skipTo(mark: string, length: number): void {
    const found = this.#text.indexOf(mark, this.#at + 2);
    this.#at = found === -1 ? this.#text.length : found + length;
    this.code += " ";
  }

  #takeString(quote: string): void {
    const start = ++this.#at;
    while (this.#at < this.#text.length && this.#text[this.#at] !== quote) {
      this.#at += this.#text[this.#at] === "\\" ? 2 : 1;
    }
    this.#keep(this.#text.slice(start, this.#at));
    this.#at++;
  }

  /** A template's own text is one string; the code within it follows. */
  #takeTemplate(): void {
    let own = "";
    const before = this.code;
    this.code = "";
    this.#at++;
    while (this.#at < this.#text.length && this.#text[this.#at] !== "`") {
      if (this.#text.startsWith("${", this.#at)) {
        this.#at += 2;
        this.code += "(";
        this.scanUntil("}");
        this.code += ")";
        this.#at++;
      } else {
        const length = this.#text[this.#at] === "\\" ? 2 : 1;
        own += this.#text.slice(this.#at, this.#at + length);
        this.#at += length;
      }
    }
    this.#at++;
    const within = this.code;
    this.code = before;
    this.#keep(own);
    if (within !== "") this.code += `+${within}`;
  }

  #skipRegExp(): void {
    let inClass = false;
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at];
      if (character === "\\") this.#at++;
      else if (character === "[") inClass = true;
      else if (character === "]") inClass = false;
      else if (character === "\n" || (character === "/" && !inClass)) break;
    }
    this.#at++;
    this.code += " 0 ";
  }

  #keep(text: string): void {
    this.code += `"${this.strings.push(text) - 1}"`;
  }
}

const importForms: { readonly pattern: RegExp; readonly erasable: boolean }[] = [
  { pattern: /\b(?:import|export)\s+(type\s)?[\w\s{},*$]*?\bfrom\s*"(\d+)"/g, erasable: true },
  { pattern: /\bimport\s*(?:\(\s*)?()"(\d+)"/g, erasable: false },
  { pattern: /\bnew\s+URL\(\s*()"(\d+)"\s*,\s*import\.meta\.url/g, erasable: false },
];

/** All imports of scanned code, in no particular order. */
export function findImports({ code, strings }: ScannedCode): Import[] {
  return importForms.flatMap(({ pattern, erasable }) =>
    [...code.matchAll(pattern)].map(([, type, index]) => ({
      specifier: strings[Number(index)] ?? "",
      typeOnly: erasable && type !== undefined,
    })),
  );
}
