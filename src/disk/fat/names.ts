/** Names in FAT directories: which are allowed, their short forms, and long names in pieces. */

import { DiskError } from "../error.ts";
import { type attributes, longNameEntry } from "./layout.ts";

/** Units of a long name in one entry. */
export const unitsPerEntry = 13;
const lengthMax = 255;
const shortSymbols = "$%'-_@~`!(){}^#&";

/**
 * Refuses what no FAT directory can hold.
 * @throws DiskError `name`.
 */
export function checkName(name: string): void {
  const why =
    name === "" || name === "." || name === ".."
      ? "it has a meaning of its own"
      : name.length > lengthMax
        ? `it has more than ${lengthMax} characters`
        : hasForbidden(name)
          ? 'it has a control character or one of "*/:<>?\\|'
          : /[. ]$/.test(name)
            ? "it ends with a dot or a space"
            : undefined;
  if (why) throw new DiskError("name", `Cannot put "${name}" on a FAT volume: ${why}.`, { name });
}

function hasForbidden(name: string): boolean {
  return [...name].some((character) => character < " " || '"*/:<>?\\|\x7f'.includes(character));
}

/** A name's 11 bytes when it is a short name as it stands, else `undefined`. */
export function asShortName(name: string): Uint8Array | undefined {
  const { base, extension } = splitName(name);
  if (base.length < 1 || base.length > 8 || extension.length > 3) return undefined;
  if (![...base, ...extension].every(isShortCharacter)) return undefined;
  if (name.endsWith(".")) return undefined;
  return padShort(base, extension);
}

/** A short name that `taken` (11 characters each) does not have; it is added there. */
export function makeShortName(name: string, taken: Set<string>): Uint8Array {
  const { base, extension } = splitName(name.replace(/^[. ]+/, ""));
  const plainBase = shorten(base) || "_";
  const plainExtension = shorten(extension).slice(0, 3);
  for (let count = 1; count < 1_000_000; count++) {
    const tail = `~${count}`;
    const short = padShort(plainBase.slice(0, 8 - tail.length) + tail, plainExtension);
    const key = String.fromCharCode(...short);
    if (taken.has(key)) continue;
    taken.add(key);
    return short;
  }
  throw new DiskError("name", `Cannot find a short name for "${name}": all are taken.`, { name });
}

/** Sum of a short name that ties long-name entries to their own. fatgen103, "ChkSum". */
export function shortNameChecksum(short: Uint8Array): number {
  return short.reduce((sum, byte) => ((sum % 2) * 128 + Math.floor(sum / 2) + byte) % 256, 0);
}

/** The entries of a long name, in the order in which they lie before their short one. */
export function encodeLongName(name: string, short: Uint8Array): Uint8Array[] {
  const checksum = shortNameChecksum(short);
  const count = Math.ceil(name.length / unitsPerEntry);
  return Array.from({ length: count }, (_, i) => {
    const index = count - i;
    const units = Array.from({ length: unitsPerEntry }, (_, k) => {
      const at = (index - 1) * unitsPerEntry + k;
      if (at === name.length) return 0;
      return at < name.length ? name.charCodeAt(at) : 0xffff;
    });
    return longNameEntry.encode({
      order: { index, last: index === count },
      units1: units.slice(0, 5),
      attributes: longNameAttributes,
      kind: 0,
      checksum,
      units2: units.slice(5, 11),
      cluster: 0,
      units3: units.slice(11),
    });
  });
}

/** A short name as text: `BOOTX64.EFI`, with Windows' lower-case flags followed. */
export function shortNameText(
  short: Uint8Array,
  flags: { readonly lowerBase: boolean; readonly lowerExtension: boolean },
): string {
  // E5h means "free" as a first byte, so the specification writes it as 05h.
  const codes = [...short].map((code, i) => (i === 0 && code === 0x05 ? 0xe5 : code));
  const text = (from: number, to: number) =>
    String.fromCharCode(...codes.slice(from, to)).trimEnd();
  const base = flags.lowerBase ? text(0, 8).toLowerCase() : text(0, 8);
  const extension = flags.lowerExtension ? text(8, 11).toLowerCase() : text(8, 11);
  return extension === "" ? base : `${base}.${extension}`;
}

/** How a directory compares names: case does not matter. */
export function nameKey(name: string): string {
  return name.toUpperCase();
}

const longNameAttributes: Parameters<typeof attributes.write>[2] = {
  readOnly: true,
  hidden: true,
  system: true,
  volumeLabel: true,
  directory: false,
  archive: false,
};

function splitName(name: string): { base: string; extension: string } {
  const dot = name.lastIndexOf(".");
  if (dot < 0) return { base: name, extension: "" };
  return { base: name.slice(0, dot), extension: name.slice(dot + 1) };
}

function isShortCharacter(character: string): boolean {
  return /[A-Z0-9]/.test(character) || shortSymbols.includes(character);
}

function shorten(text: string): string {
  return [...text.toUpperCase()]
    .filter((character) => character !== " " && character !== ".")
    .map((character) => (isShortCharacter(character) ? character : "_"))
    .join("");
}

function padShort(base: string, extension: string): Uint8Array {
  return Uint8Array.from(base.padEnd(8) + extension.padEnd(3), (c) => c.charCodeAt(0));
}
