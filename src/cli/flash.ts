/** `diskomator flash`: writes an image to disks, verified, and bootable only at the very end. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatSize } from "../bytes/index.ts";
import type { SharedIdentifier } from "../disk/index.ts";
import {
  confirmationHint,
  confirms,
  FlashError,
  type FlashReport,
  flashImage,
  formatSeconds,
  type Image,
  isReopenable,
  lookAtDisk,
  type OpenImageOptions,
  openHasher,
  openImage,
  type Plan,
  type PlanOptions,
  type PlanTarget,
  parseKey,
  planFlash,
} from "../flash/index.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine, tell } from "./console.ts";
import { openProgressView, type ProgressView } from "./disk-progress.ts";
import { openTarget } from "./disk-target.ts";
import { type ExitCode, exitCodes, UsageError } from "./exit.ts";
import type { OpenTarget } from "./namespace-target.ts";
import { exitCodeOfError, messageOf, withOutcome } from "./outcome.ts";
import { ask } from "./question.ts";
import { findShared, formatShared } from "./shared-identifiers.ts";
import { targetHelp } from "./target-address.ts";
import { cacheDirectory } from "./user-folders.ts";

const help = `Usage: diskomator flash IMAGE DISK... [OPTIONS]

Writes an image to one disk or several, reads it back, and only then makes the disk bootable.

  IMAGE                 a file, an http(s) address, or - for standard input; raw, or compressed with
                        gzip, xz, zstd, bzip2 or zip. Used where they lie beside it: IMAGE.sha256,
                        SHA256SUMS, IMAGE.bmap, and with --key IMAGE.sig, .asc, .gpg or .minisig.
${targetHelp}

  --confirm SERIAL      overwrite the disk with this serial number (or these last 4 characters of
                        it), whatever it holds; may be repeated
  --yes                 overwrite disks that diskomator wrote, without --confirm
  --no-verify           do not read back what was written
  --grow                let the last partition take the rest of the disk
  --key FILE            a public key of OpenPGP or minisign: the image must be signed by it
  --require-checksum    refuse an image without a checksum, block map or signature beside it
  --long                allow zstd windows of up to 2 GiB, and the memory that they take
  --dry-run             show what would be done, and write nothing
  --json                JSON lines; the last one is the result

Exit codes: 0 done, 1 failed, 2 usage, 3 verify mismatch, 4 refused, 5 no such disk, 6 unreachable,
7 some of several disks failed, 130 interrupted.

Example: diskomator flash my-os.raw.zst lunch-feta --confirm S6Z1NJ0W1`;

/** The options as they were read. */
export interface FlashArguments extends PlanOptions {
  readonly location: string;
  readonly names: readonly string[];
  readonly keyPath: string | undefined;
  readonly hasLongWindows: boolean;
  readonly isDryRun: boolean;
  readonly isEncrypted: boolean;
  readonly isJson: boolean;
  /** Those of `names` that were confirmed, and written, before. */
  readonly confirmedNames?: ReadonlySet<string>;
  /** Called before anything is planned; throws what else speaks against the image. */
  readonly onImage?: (image: Image) => Promise<void>;
}

/** The command. */
export const flash: Command = {
  help,
  async run({ args, signal }) {
    return await flashAs(readFlashArguments(args), signal);
  },
};

/** Flashes as the options say, and tells how that ended. */
export async function flashAs(read: FlashArguments, signal: AbortSignal): Promise<ExitCode> {
  let hasBegun = false;
  return await withOutcome(
    { isJson: read.isJson, signal },
    () =>
      runFlash(read, signal, () => {
        hasBegun = true;
      }),
    (end) => stateOf(read.names.length > 1 ? notFinished : "The disk", hasBegun, end),
  );
}

/** Of several disks, some may be done. */
const notFinished = "A disk that was not finished";

/** What a flash that did not end leaves; a refusal speaks for itself. */
export function stateOf(
  disk: string,
  hasBegun: boolean,
  end: "interrupted" | "failed",
): string | undefined {
  if (hasBegun) return `${disk} does not boot now; the same command again goes on where it can.`;
  return end === "interrupted" ? "Nothing was written." : undefined;
}

/** @throws UsageError */
export function readFlashArguments(args: readonly string[]): FlashArguments {
  const { values, positionals } = readOptions(
    args,
    {
      confirm: { type: "string", multiple: true },
      yes: { type: "boolean", default: false },
      verify: { type: "boolean", default: true },
      "no-verify": { type: "boolean", default: false },
      grow: { type: "boolean", default: false },
      key: { type: "string" },
      "require-checksum": { type: "boolean", default: false },
      long: { type: "boolean", default: false },
      "dry-run": { type: "boolean", default: false },
      "no-tls": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
    Number.POSITIVE_INFINITY,
  );
  const [location, ...names] = positionals;
  if (location === undefined) throw new UsageError("Name an image and a disk.");
  if (names.length === 0) throw new UsageError(`Name a disk to write ${location} to.`);
  if (location === "-" && process.stdin.isTTY) {
    throw new UsageError("An image from standard input has to be piped in.");
  }
  return {
    location,
    names,
    confirmed: values.confirm ?? [],
    isYes: values.yes,
    isVerified: values.verify && !values["no-verify"],
    isGrown: values.grow,
    needsChecksum: values["require-checksum"],
    keyPath: values.key,
    hasLongWindows: values.long,
    isDryRun: values["dry-run"],
    isEncrypted: !values["no-tls"],
    isJson: values.json,
  };
}

async function runFlash(
  read: FlashArguments,
  signal: AbortSignal,
  onBegin: () => void,
): Promise<ExitCode> {
  await using hasher = openHasher();
  const open = await imageOptions(read, hasher, signal);
  await using image = await openImage(read.location, open);
  await read.onImage?.(image);
  await using stack = new AsyncDisposableStack();
  const targets = await openTargets(read, signal, stack);
  return await flashTo(image, targets, {
    options: read,
    isDryRun: read.isDryRun,
    isJson: read.isJson,
    mayAsk: read.location !== "-",
    hasher,
    ...(isReopenable(read.location) ? { reopen: () => openImage(read.location, open) } : {}),
    signal,
    onBegin,
  });
}

/** Options that `verify` shares. */
export async function imageOptions(
  read: { readonly keyPath: string | undefined; readonly hasLongWindows: boolean },
  hasher: OpenImageOptions["hasher"],
  signal: AbortSignal,
): Promise<OpenImageOptions> {
  const { keyPath } = read;
  return {
    hasher,
    clock: () => performance.now(),
    stdin: process.stdin,
    hasLongWindows: read.hasLongWindows,
    digestCache: join(cacheDirectory(), "digests"),
    ...(keyPath === undefined ? {} : { key: await readKey(keyPath) }),
    signal,
  };
}

async function readKey(path: string) {
  const file = await readFile(path).catch((error: unknown) => {
    throw new UsageError(`Cannot read the key ${path}: ${messageOf(error)}`);
  });
  return await parseKey(file, path);
}

async function openTargets(
  { names, isEncrypted, confirmedNames }: FlashArguments,
  signal: AbortSignal,
  stack: AsyncDisposableStack,
): Promise<OpenTarget[]> {
  const targets: OpenTarget[] = [];
  for (const name of names) {
    const options = { readOnly: false, isEncrypted, signal };
    const target = stack.use(await openTarget(name, options));
    targets.push({ ...target, isConfirmed: confirmedNames?.has(name) ?? false });
  }
  return targets;
}

/** What `flash` and `clone` do with an image and disks that are open. */
export interface FlashToRequest {
  readonly options: PlanOptions;
  readonly isDryRun: boolean;
  readonly isJson: boolean;
  /** Standard input is free for an answer. */
  readonly mayAsk: boolean;
  readonly hasher: OpenImageOptions["hasher"];
  readonly reopen?: () => Promise<Image>;
  readonly signal: AbortSignal;
  readonly onBegin: () => void;
  /** The disk that the image comes from, whose lost connection is told too. */
  readonly from?: OpenTarget;
}

/** Plans, asks where it must, writes, and reports. */
export async function flashTo(
  image: Image,
  targets: readonly OpenTarget[],
  request: FlashToRequest,
): Promise<ExitCode> {
  const { isJson, isDryRun, options, signal, from } = request;
  const found = await Promise.all(targets.map((target) => planTarget(target, signal)));
  if (!isJson) describeWork(image, found);
  const mayAsk = request.mayAsk && !isJson && !isDryRun;
  const plans = await planOrAsk(image, found, options, { mayAsk, signal });
  const refusals = plans.flatMap((plan) => (plan.kind === "refused" ? plan.refusals : []));
  if (refusals.length > 0) {
    const messages = refusals.map(({ message }) => message);
    throw new FlashError("refused", messages.join("\n"), { refusals });
  }
  const steps = plans.map((plan) => (plan.kind === "steps" ? plan : undefined));
  for (const note of new Set(steps.flatMap((plan) => plan?.notes ?? []))) tell(`Note: ${note}.`);
  if (isDryRun) {
    if (isJson) printJson({ event: "result", outcome: "planned", exitCode: exitCodes.ok, plans });
    else for (const { name } of found) tell(`Would write ${image.facts.name} to ${name}.`);
    return exitCodes.ok;
  }
  const view = await openProgressView({ isJson });
  const report = await runWithView(view, from ? [from, ...targets] : targets, () =>
    flashImage({
      image,
      targets: targets.map((target, n) => ({
        target,
        isComparing: steps[n]?.isComparing ?? false,
      })),
      isVerified: options.isVerified,
      isGrown: options.isGrown,
      hasher: request.hasher,
      clock: () => performance.now(),
      onEvent: (event) => view.show(event),
      onBegin: request.onBegin,
      onMode: (event) => view.mode(event),
      signal,
      ...(request.reopen ? { reopen: request.reopen } : {}),
    }),
  );
  const done = targets.filter((_, n) => report.results[n]?.outcome === "ok");
  const shared = await findShared(done, signal);
  return tellReport(report, shared, isJson);
}

/** Runs with a progress picture, which shows lost connections too and is ended whatever happens. */
export async function runWithView<T>(
  view: ProgressView,
  targets: readonly OpenTarget[],
  body: () => Promise<T>,
): Promise<T> {
  const endings = targets.map(({ name, onConnection }) =>
    onConnection?.((state) => view.connection(name, state)),
  );
  try {
    return await body();
  } finally {
    for (const end of endings) end?.();
    view.done();
  }
}

async function planTarget(target: OpenTarget, signal: AbortSignal): Promise<PlanTarget> {
  const facts = await lookAtDisk(target, { signal });
  return {
    name: target.name,
    chosen: target.identity,
    found: await target.identify({ signal }),
    readOnly: target.disk.readOnly,
    inUseBy: target.inUseBy,
    isConfirmed: target.isConfirmed ?? false,
    facts,
  };
}

function describeWork({ facts }: Image, targets: readonly PlanTarget[]): void {
  const packing = facts.packing.length > 0 ? `${facts.packing.join(" in ")}, ` : "";
  const least = `at least ${formatSize(facts.sizeBytesMin)}`;
  const size = facts.sizeBytes === undefined ? least : formatSize(facts.sizeBytes);
  const checks = facts.checkedBy.length > 0 ? `  checked by ${facts.checkedBy.join(", ")}` : "";
  tell(`Image  ${facts.name}  ${packing}${size}  ${facts.contents}${checks}`);
  for (const { name, found, facts: disk } of targets) {
    const { model, serial, sizeBytes, blockSizeBytes } = found;
    const shape = `${formatSize(sizeBytes)}, ${blockSizeBytes}-byte blocks`;
    tell(`Disk   ${name}  ${model} ${serial}  ${shape}  holds: ${disk.contents}`);
  }
}

/** Plans; on a terminal, what only lacks a confirmation is asked for. */
async function planOrAsk(
  image: Image,
  targets: readonly PlanTarget[],
  options: PlanOptions,
  { mayAsk, signal }: { readonly mayAsk: boolean; readonly signal: AbortSignal },
): Promise<Plan[]> {
  const plans = planFlash(image.facts, targets, options);
  const refusals = plans.flatMap((plan) => (plan.kind === "refused" ? plan.refusals : []));
  const isOnlyUnconfirmed = refusals.every(({ code }) => code === "needs-confirmation");
  if (refusals.length === 0 || !isOnlyUnconfirmed || !mayAsk) return plans;
  if (!process.stdin.isTTY || !process.stderr.isTTY) return plans;
  const confirmed = [...options.confirmed];
  const { stdin: input, stderr: output } = process;
  const interrupt = () => process.kill(process.pid, "SIGINT");
  for (const [n, { name, found }] of targets.entries()) {
    if (plans[n]?.kind !== "refused") continue;
    const hint = confirmationHint(found.serial);
    const question = `This destroys everything on ${name}. Type ${hint} to go on: `;
    const answer = await ask(question, { input, output, signal, interrupt });
    if (answer === undefined || !confirms(found.serial, answer)) return plans;
    confirmed.push(found.serial);
  }
  return planFlash(image.facts, targets, { ...options, confirmed });
}

function tellReport(
  report: FlashReport,
  shared: readonly SharedIdentifier[],
  isJson: boolean,
): ExitCode {
  const failed = report.results.filter(({ outcome }) => outcome === "failed");
  const exitCode = exitCodeOfResults(report);
  const rows = report.results.map(({ error, ...row }) => ({
    ...row,
    ...(error === undefined ? {} : { message: messageOf(error), exitCode: exitCodeOfError(error) }),
  }));
  if (isJson) {
    const outcome = failed.length === 0 ? "ok" : "failed";
    printJson({ event: "result", outcome, exitCode, ...report, results: rows, shared });
  } else {
    const width = Math.max(...report.results.map(({ target }) => target.length));
    for (const { target, outcome, counts, seconds, isVerified, mode, notes } of report.results) {
      const amounts =
        `${formatSize(counts.written)} written, ${formatSize(counts.zeroed)} zeroed, ` +
        `${formatSize(counts.skipped)} there already, between its ends`;
      const checked = isVerified ? "verified" : "not verified";
      const end = outcome === "ok" ? `ok, ${checked}` : "FAILED";
      printLine(`${target.padEnd(width)}  ${end}  ${amounts}  ${formatSeconds(seconds)}`);
      if (mode) printLine(`  ${mode.mode}: ${mode.reason}`);
      for (const note of notes) printLine(`  ${note}`);
    }
  }
  if (shared.length > 0) tell(`Warning: ${formatShared(shared)}`);
  for (const { target, error, hasBegun } of failed) {
    tell(`diskomator: ${messageOf(error)}`);
    tell(stateOf(target, hasBegun, "failed") ?? `Nothing was written to ${target}.`);
  }
  return exitCode;
}

function exitCodeOfResults({ results }: FlashReport): ExitCode {
  const codes = results.flatMap(({ outcome, error }) =>
    outcome === "failed" ? [exitCodeOfError(error)] : [],
  );
  const [first] = codes;
  if (first === undefined) return exitCodes.ok;
  if (codes.length < results.length) return exitCodes.partial;
  return codes.every((code) => code === first) ? first : exitCodes.failure;
}
