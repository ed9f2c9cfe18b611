/** `diskomator backup`: saves a disk as an image file. */

import { formatSize } from "../bytes/index.ts";
import { formatSeconds, openHasher, openSaveFile, saveDisk } from "../flash/index.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine } from "./console.ts";
import { openProgressView } from "./disk-progress.ts";
import { openTarget, warnOfUse } from "./disk-target.ts";
import { exitCodes, UsageError } from "./exit.ts";
import { runWithView } from "./flash.ts";
import { withOutcome } from "./outcome.ts";
import { targetHelp } from "./target-address.ts";

const help = `Usage: diskomator backup DISK FILE [OPTIONS]

Saves a whole disk: compressed with zstd if FILE ends in .zst, otherwise as a sparse raw file.
FILE.sha256 and FILE.disk.json (size and block size) are put beside it; an incomplete file is
deleted.

${targetHelp}

  --json      JSON lines; the last one is the result

Exit codes: 0 done, 1 failed (FILE exists, or cannot be written), 5 no such disk, 6 unreachable.

Example: diskomator backup lunch-feta laptop.raw.zst`;

/** The command. */
export const backup: Command = {
  help,
  async run({ args, signal }) {
    const options = {
      "no-tls": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    } as const;
    const { values, positionals } = readOptions(args, options, 2);
    const [name, path] = positionals;
    if (name === undefined || path === undefined) throw new UsageError("Name a disk and a file.");
    const packing = /\.(gz|xz|bz2|zip|qcow2|vmdk|vhdx?|vdi|iso)$/i.exec(path)?.[0];
    if (path === "-" || packing !== undefined) {
      throw new UsageError(
        path === "-"
          ? "A backup is a file, not standard output: give it a name."
          : `A backup is raw, or packed by zstd, not ${packing}: give it a name with .raw or .zst.`,
      );
    }
    const isJson = values.json;
    let isBegun = false;
    return await withOutcome(
      { isJson, signal },
      async () => {
        await using hasher = openHasher();
        await using target = await openTarget(name, {
          readOnly: true,
          isEncrypted: !values["no-tls"],
          signal,
        });
        warnOfUse(target);
        const { sizeBytes } = target.disk;
        const format = path.endsWith(".zst") ? "zstd" : "raw";
        await using output = await openSaveFile(path, { format, sizeBytes, hasher });
        isBegun = true;
        const view = await openProgressView({ isJson });
        const report = await runWithView(view, [target], () =>
          saveDisk({
            target,
            output,
            hasher,
            clock: () => performance.now(),
            onEvent: (event) => view.show(event),
            signal,
          }),
        );
        if (isJson) printJson({ event: "result", outcome: "ok", exitCode: 0, ...report });
        else {
          printLine(`${report.sha256}  ${report.file}`);
          printLine(
            `${formatSize(report.sizeBytes)} of ${target.name} saved in ` +
              `${formatSeconds(report.seconds)}`,
          );
        }
        return exitCodes.ok;
      },
      () => (isBegun ? `Nothing is kept of ${path}.` : undefined),
    );
  },
};
