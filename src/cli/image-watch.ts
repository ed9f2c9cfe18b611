/** An image file that is watched: when it is another one, and whole. */

import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { sidecarNames } from "../flash/index.ts";

/** By this a file is known: writing, renaming over it and touching it change it. */
export type ImageStamp = string;

/** Who has a file open for writing. */
export interface Writer {
  readonly pid: number;
  readonly name: string;
}

/** What there is to look at, and the time. */
export interface ImageWorld {
  /** Null where there is no such file. */
  stamp(): Promise<ImageStamp | null>;
  /** A process that has it open for writing, as far as that can be known. */
  writer(): Promise<Writer | null>;
  sleep(ms: number): Promise<void>;
}

const everyMs = 300;
/** So long nothing may have changed. */
const quietMs = 900;

/**
 * Waits until the file is another one than `known`, has stayed the same for a moment, and nobody has
 * it open for writing.
 * @param onWriter called once for each that is waited for
 */
export async function waitForImage(
  world: ImageWorld,
  known: ImageStamp | null,
  onWriter: (writer: Writer) => void,
): Promise<ImageStamp> {
  let last = await world.stamp();
  let sameMs = 0;
  let told = 0;
  for (;;) {
    await world.sleep(everyMs);
    const now = await world.stamp();
    sameMs = now === last ? sameMs + everyMs : 0;
    last = now;
    if (now === null || now === known || sameMs < quietMs) continue;
    const writer = await world.writer();
    if (writer === null && (await world.stamp()) === now) return now;
    if (writer !== null && writer.pid !== told) onWriter(writer);
    told = writer?.pid ?? told;
  }
}

/**
 * The file at `path` and what lies beside it and is checked with it, by polling: that works on every
 * file system.
 */
export function imageAt(path: string, signal: AbortSignal): ImageWorld {
  const beside = sidecarNames(basename(path)).map((name) => join(dirname(path), name));
  return {
    stamp: async () => {
      const [image, ...others] = await Promise.all([path, ...beside].map(stampOf));
      return image === null ? null : [image, ...others].join("\n");
    },
    writer: () => findWriter(path),
    sleep: (ms) => sleep(ms, undefined, { signal }),
  };
}

/** What a file is known by; null where there is none. */
export async function stampOf(path: string): Promise<ImageStamp | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  if (found === null) return null;
  const { dev, ino, size, mtimeNs, ctimeNs } = found;
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}

const accessModes = 3;

/** Linux lists open files of the user's own processes, and of all for root. */
async function findWriter(path: string): Promise<Writer | null> {
  const image = await inodeOf(path);
  if (image === null) return null;
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const open = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const fd of open) {
      const link = `/proc/${pid}/fd/${fd}`;
      // Sockets and pipes have no path.
      const target = await readlink(link).catch(() => "");
      if (!target.startsWith("/") || !(await isForWriting(pid, fd))) continue;
      // It may be open by another of its names.
      if ((await inodeOf(link)) !== image) continue;
      const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
      return { pid: Number(pid), name: name.trim() };
    }
  }
  return null;
}

async function isForWriting(pid: string, fd: string): Promise<boolean> {
  const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, "latin1").catch(() => "");
  const flags = Number.parseInt(/^flags:\s+([0-7]+)/m.exec(info)?.[1] ?? "0", 8);
  return flags % (accessModes + 1) !== 0;
}

async function inodeOf(path: string): Promise<string | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? null : `${found.dev} ${found.ino}`;
}
