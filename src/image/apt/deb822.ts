/** Paragraphs of `Field: value` lines, as Debian's control files have them (deb822(5)). */

/** One paragraph: field names in lower case; further lines of a value follow after `\n`. */
export type Paragraph = ReadonlyMap<string, string>;

/** What a text holds, or the first line (from 1) that is no field, with the reason. */
export type Deb822 =
  | { readonly ok: true; readonly paragraphs: readonly Paragraph[] }
  | { readonly ok: false; readonly line: number; readonly reason: string };

/**
 * Reads all paragraphs. Comment lines (`#`) are left out; continuation lines lose their first
 * blank. A field that comes twice in one paragraph is a fault, since readers differ about it.
 */
export function parseDeb822(text: string): Deb822 {
  const paragraphs: Map<string, string>[] = [];
  let current = new Map<string, string>();
  let field: string | undefined;
  const lines = text.split("\n");
  for (const [index, raw] of lines.entries()) {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    const fault = (reason: string): Deb822 => ({ ok: false, line: index + 1, reason });
    if (line.startsWith("#")) {
      continue;
    }
    if (line.trim() === "") {
      if (current.size > 0) {
        paragraphs.push(current);
      }
      current = new Map();
      field = undefined;
    } else if (line.startsWith(" ") || line.startsWith("\t")) {
      if (field === undefined) {
        return fault("a continuation line without a field before it");
      }
      current.set(field, `${current.get(field)}\n${line.slice(1)}`);
    } else {
      const colon = line.indexOf(":");
      field = line.slice(0, Math.max(colon, 0)).toLowerCase();
      if (!/^[!-9;-~]+$/.test(field)) {
        return fault("no field name");
      }
      if (current.has(field)) {
        return fault(`the field ${field} comes twice`);
      }
      current.set(field, line.slice(colon + 1).trim());
    }
  }
  if (current.size > 0) {
    paragraphs.push(current);
  }
  return { ok: true, paragraphs };
}
