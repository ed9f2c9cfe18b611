/** Takes what crashed systems left in the firmware. */
import { readdirSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import {
  type Crash,
  isCrashFile,
  joinCrashes,
  type PstoreFile,
  printOfCrash,
} from "./crash-dumps.ts";
import { readTool } from "./driver-process.ts";

const directory = "sys/fs/pstore";
const toolTimeoutMs = 20_000;

/** The prints of the records of crashes that are there. */
export async function listCrashes(root: string): Promise<readonly string[]> {
  return (await readRecords(root)).map(printOfCrash);
}

/**
 * Reads the records of crashes and deletes them: the firmware has little room. Those that were there
 * before stay, since they are of something else; clocks do not tell, a system under test has its own.
 * @param known prints of those, from `listCrashes`
 */
export async function takeCrashes(
  root: string,
  known: readonly string[],
): Promise<readonly Crash[]> {
  const files = (await readRecords(root)).filter((file) => !known.includes(printOfCrash(file)));
  for (const { name } of files) {
    try {
      unlinkSync(join(root, directory, name));
    } catch {
      // Gone, or it stays where it is.
    }
  }
  return joinCrashes(files);
}

async function readRecords(root: string): Promise<readonly PstoreFile[]> {
  await readTool("modprobe", ["-q", "efi_pstore"], toolTimeoutMs);
  return namesIn(join(root, directory))
    .filter(isCrashFile)
    .flatMap((name) => {
      try {
        return [{ name, text: readFileSync(join(root, directory, name), "utf8") }];
      } catch {
        return [];
      }
    });
}

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
