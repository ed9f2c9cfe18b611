/** Takes what crashed systems left in the firmware. */
import { readdirSync, readFileSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { type Crash, isCrashFile, joinCrashes, type PstoreFile } from "./crash-dumps.ts";
import { readTool } from "./driver-process.ts";

const directory = "sys/fs/pstore";
const toolTimeoutMs = 20_000;

/**
 * Reads the records of crashes since a time and deletes them: the firmware has little room.
 * Older ones stay: they are of something else.
 */
export async function takeCrashes(root: string, since: Date): Promise<readonly Crash[]> {
  await readTool("modprobe", ["-q", "efi_pstore"], toolTimeoutMs);
  const files: PstoreFile[] = [];
  for (const name of namesIn(join(root, directory)).filter(isCrashFile)) {
    const path = join(root, directory, name);
    try {
      if (statSync(path).mtimeMs < since.getTime()) continue;
      files.push({ name, text: readFileSync(path, "utf8") });
      unlinkSync(path);
    } catch {
      // Gone, or unreadable: then it stays where it is.
    }
  }
  return joinCrashes(files);
}

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
