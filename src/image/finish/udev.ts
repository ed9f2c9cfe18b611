/** udev rules that must not keep disks open: overrides without `watch`. */

import type { Note } from "./input.ts";
import { file, type Piece } from "./piece.ts";

const folder = "usr/lib/udev/rules.d/";
const blockRules = "60-block.rules";
const watch = /OPTIONS(\+?=)"watch"/g;

/**
 * A copy in `/etc/udev/rules.d` (the same name hides the original) of each rules file that asks for
 * `watch`, saying `nowatch`. With `watch` udev probes a disk again whenever a writer closes it
 * (udev(7)), which on an exported disk is somebody else's business. The blkid built-in of
 * 60-persistent-storage.rules stays: it opens read-only, reads, and closes.
 */
export function udevFiles(contents: ReadonlyMap<string, string>): {
  pieces: Piece[];
  notes: Note[];
} {
  const pieces: Piece[] = [];
  const notes: Note[] = [];
  for (const [path, text] of contents) {
    if (path.startsWith(folder) && text.search(watch) >= 0) {
      const name = path.slice(folder.length);
      pieces.push(file(`etc/udev/rules.d/${name}`, text.replace(watch, 'OPTIONS$1"nowatch"')));
    }
  }
  const original = `${folder}${blockRules}`;
  if (contents.has(original) && !pieces.some((piece) => piece.path.endsWith(`/${blockRules}`))) {
    const message = `${original} no longer asks for "watch"; see whether another file does.`;
    notes.push({ code: "capture", subject: original, message });
  }
  return { pieces, notes };
}
