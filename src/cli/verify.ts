/** `diskomator verify`: compares a disk with an image, without writing. */

import { formatSize } from "../bytes/index.ts";
import {
  compareImage,
  FlashError,
  formatRanges,
  formatSeconds,
  openHasher,
  openImage,
} from "../flash/index.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine } from "./console.ts";
import { openProgressView } from "./disk-progress.ts";
import { openTarget } from "./disk-target.ts";
import { type ExitCode, exitCodes, UsageError } from "./exit.ts";
import { imageOptions, runWithView } from "./flash.ts";
import { withOutcome } from "./outcome.ts";
import { targetHelp } from "./target-address.ts";

const help = `Usage: diskomator verify IMAGE DISK [OPTIONS]

Compares a disk with an image, and says which blocks differ. Nothing is written.

  IMAGE       as for flash
${targetHelp}

  --key FILE  a public key of OpenPGP or minisign: the image must be signed by it
  --long      allow zstd windows of up to 2 GiB
  --json      JSON lines; the last one is the result

Exit codes: 0 the same, 3 different, and as for flash.

Example: diskomator verify my-os.raw.zst lunch-feta:S6Z1NJ0W1`;

interface VerifyArguments {
  readonly location: string;
  readonly name: string;
  readonly keyPath: string | undefined;
  readonly hasLongWindows: boolean;
  readonly isEncrypted: boolean;
  readonly isJson: boolean;
}

/** The command. */
export const verify: Command = {
  help,
  async run({ args, signal }) {
    const { values, positionals } = readOptions(
      args,
      {
        key: { type: "string" },
        long: { type: "boolean", default: false },
        "no-tls": { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      },
      2,
    );
    const [location, name] = positionals;
    if (location === undefined || name === undefined) {
      throw new UsageError("Name an image and a disk.");
    }
    const { key: keyPath, long: hasLongWindows, json: isJson } = values;
    const isEncrypted = !values["no-tls"];
    const read = { location, name, keyPath, hasLongWindows, isEncrypted, isJson };
    return await withOutcome({ isJson, signal }, () => runVerify(read, signal));
  },
};

async function runVerify(read: VerifyArguments, signal: AbortSignal): Promise<ExitCode> {
  await using hasher = openHasher();
  await using image = await openImage(read.location, await imageOptions(read, hasher, signal));
  await using target = await openTarget(read.name, {
    readOnly: true,
    isEncrypted: read.isEncrypted,
    signal,
  });
  const view = await openProgressView(read);
  const report = await runWithView(view, [target], () =>
    compareImage({
      image,
      target,
      clock: () => performance.now(),
      onEvent: (event) => view.show(event),
      signal,
    }),
  );
  const { blockSizeBytes } = target.disk;
  if (report.ranges.length > 0) {
    throw new FlashError(
      "mismatch",
      `${target.name} does not hold ${image.facts.name}: they differ at ` +
        `${formatRanges(report.ranges, blockSizeBytes)}.`,
      { ranges: report.ranges, blockSizeBytes },
    );
  }
  if (read.isJson) printJson({ event: "result", outcome: "ok", exitCode: 0, ...report });
  else {
    const fitted = report.isTableFitted ? " (its partition table fitted to the disk)" : "";
    printLine(
      `${target.name} holds ${image.facts.name}${fitted}: ${formatSize(report.imageBytes)} ` +
        `compared in ${formatSeconds(report.seconds)}`,
    );
  }
  return exitCodes.ok;
}
