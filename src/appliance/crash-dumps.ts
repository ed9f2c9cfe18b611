/**
 * What the kernel left in the firmware when it died, as pstore shows it: records of a few hundred
 * bytes, each beginning with `Panic#1 Part3`. Part 1 is the newest (kernel, fs/pstore/platform.c).
 */
import { createHash } from "node:crypto";

/** A file below /sys/fs/pstore. */
export interface PstoreFile {
  readonly name: string;
  readonly text: string;
}

/** A crash: its kind, and the end of the kernel's log. */
export interface Crash {
  /** `Panic#1`. */
  readonly name: string;
  readonly text: string;
}

/** So much of each crash is told: its end. */
export const crashTextMax = 32 * 1024;

/** Whether a file is a record of a crash, and not of a console or a tracer. */
export function isCrashFile(name: string): boolean {
  return name.startsWith("dmesg-");
}

/** By this a record is known again; short, since it is kept where there is little room. */
export function printOfCrash({ name, text }: PstoreFile): string {
  return createHash("sha256").update(`${name}\0`).update(text).digest("hex").slice(0, printDigits);
}

const printDigits = 6;

/** Puts records together: one crash each, its lines in the order in which they were printed. */
export function joinCrashes(files: readonly PstoreFile[]): Crash[] {
  const parts = files.filter(({ name }) => isCrashFile(name)).map(readPart);
  const names = [...new Set(parts.map(({ crash }) => crash))];
  return names.map((name) => {
    const own = parts.filter(({ crash }) => crash === name);
    own.sort((a, b) => b.part - a.part);
    const text = own.map((one) => one.text.replace(/\n?$/, "\n")).join("");
    return { name, text: printable(text.slice(-crashTextMax)) };
  });
}

function readPart({ name, text }: PstoreFile) {
  const head = /^(\w+#\d+) Part(\d+)\n/.exec(text);
  if (head === null) return { crash: name, part: 0, text };
  return { crash: head[1] ?? name, part: Number(head[2]), text: text.slice(head[0].length) };
}

/** It came from the system under test and goes to somebody's terminal. */
function printable(text: string): string {
  return text.replace(/[^\P{C}\n\t]/gu, "?");
}
