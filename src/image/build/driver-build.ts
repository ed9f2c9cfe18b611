/**
 * A build from definition to files: lock → packages → segments → finishing → UKI → disk image.
 * Everything that can be remembered is in the cache by what it was made of.
 */

import { basename, join } from "node:path";
import type { Mirrors } from "../apt/index.ts";
import type { ApplianceDefinition } from "../definition.ts";
import { ImageError } from "../error.ts";
import type { Transport } from "../fetch/index.ts";
import { fetchNpm, fetchPackages, npmCommand, runTogether } from "../fetch/index.ts";
import type { Lock } from "../lock.ts";
import { SegmentCache, type SegmentLog } from "../segment/index.ts";
import { openWorkerPool } from "../workers/index.ts";
import { assembleImage } from "./driver-assemble.ts";
import { builderId } from "./driver-builder-id.ts";
import { loadDefinition, readDefinitionFiles } from "./driver-definition.ts";
import { applyLocalPackages } from "./driver-local.ts";
import {
  describeMove,
  lockPathOf,
  openMirrors,
  readLock,
  resolveLock,
  writeLock,
} from "./driver-lock.ts";
import { makeOutDirectory, writeOutputs } from "./driver-outputs.ts";
import { bundlePrograms } from "./driver-programs.ts";
import { pruneCache } from "./driver-prune.ts";
import { applyOwnerships, type ImageSegments, makeSegments } from "./driver-segments.ts";
import { finishImage } from "./finish.ts";
import type { BuildOptions, BuildPhase } from "./options.ts";
import { assignRoles, checkLock } from "./plan.ts";
import type { BuildReport } from "./report.ts";
import { checkSetuid } from "./setuid.ts";

/** A lock and all that it names, on this machine. */
interface Supplies {
  readonly lock: Lock;
  /** Package name → downloaded .deb. */
  readonly packages: ReadonlyMap<string, string>;
  /** The tarball of Node.js, when the definition wants it. */
  readonly node: string | undefined;
}

/**
 * Builds an appliance and writes its outputs.
 * @throws ImageError; see its codes. Outputs of an earlier build are replaced one by one, each
 * whole, and only once all new ones lie beside them.
 */
export async function buildAppliance(options: BuildOptions): Promise<BuildReport> {
  const times = new PhaseTimes(options);
  const definition = withOptions(await loadDefinition(options.definitionPath), options);
  const lockPath = lockPathOf(options.definitionPath);
  const previous = await readLock(lockPath);
  await makeOutDirectory(options.outDirectory);

  const supplies = await obtain(definition, previous, options, times);
  times.enter("segments");
  const { pinned, local } = await applyLocalPackages(
    definition,
    options.definitionPath,
    supplies.lock,
    supplies.packages,
  );
  const roles = assignRoles(definition, pinned.packages);
  const cacheDirectory = join(options.cacheDirectory, "segments", await builderId());
  const log: SegmentLog = (event, fields) =>
    options.onEvent?.({ event: "note", code: event, message: `Made again: ${fields.path}` });
  await using pool = openWorkerPool({
    ...(options.threads ? { threads: options.threads } : {}),
    log,
  });
  const cache = new SegmentCache(cacheDirectory, log);
  const workshop = { cache, cacheDirectory, pool, options };
  const ingredients = { ...supplies, definition, roles, lock: pinned, local };
  const [shipped, files, programs] = await Promise.all([
    makeSegments(ingredients, workshop),
    readDefinitionFiles(definition, options.definitionPath),
    bundlePrograms(definition, options.definitionPath),
  ]);

  times.enter("finish");
  const finished = finishImage({
    definition,
    segments: shipped,
    files: new Map([...programs, ...files]),
    ids: supplies.lock.ids,
    epochSeconds: supplies.lock.epochSeconds,
  });
  checkSetuid(definition, fileModes(shipped), finished.modeOverrides);
  const segments = await applyOwnerships(shipped, finished.modeOverrides, ingredients, workshop);
  const lock: Lock = { ...supplies.lock, ids: finished.ids };
  times.enter("assemble");
  const image = await assembleImage({ definition, lock, segments, finished, options });
  times.enter("write");
  const report = await writeOutputs({
    definition,
    lock,
    roles,
    local: new Set(local.keys()),
    segments,
    finished,
    image,
    options,
  });
  if (previous === undefined || supplies.lock !== previous) await writeLock(lockPath, lock);
  for (const note of finished.notes) {
    options.onEvent?.({ event: "note", code: note.code, message: note.message });
  }
  await prune(supplies, segments, options);
  return { ...report, lockPath: basename(lockPath), phases: times.end() };
}

/** A cache that cannot be looked through is no reason for a build to fail. */
async function prune(
  { packages, node }: Supplies,
  { userland, kernel, node: nodeSegment, stub }: ImageSegments,
  options: BuildOptions,
): Promise<void> {
  const { modules, firmware, vmlinuz, microcode } = kernel;
  const made = [modules, firmware, vmlinuz, microcode, stub, ...(nodeSegment ? [nodeSegment] : [])];
  const segments = [...made, ...userland.map(({ segment }) => segment)];
  const used = [
    ...packages.values(),
    ...(node === undefined ? [] : [node]),
    ...segments.flatMap(({ path }) => [path, path.replace(/\.seg$/, ".json")]),
  ];
  try {
    await pruneCache(options.cacheDirectory, used, options.now);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `Cannot look through the cache for what is old: ${reason}`;
    options.onEvent?.({ event: "note", code: "cache-not-pruned", message });
  }
}

/** Mode by path of the files of all packages. */
function fileModes({ userland }: ImageSegments): Map<string, number> {
  const entries = userland.flatMap(({ segment }) => segment.listing.entries);
  const files = entries.filter(({ type }) => type === "file");
  return new Map(files.map(({ path, mode }) => [path, mode]));
}

/** What options add to a definition. */
function withOptions(definition: ApplianceDefinition, options: BuildOptions): ApplianceDefinition {
  const keys = [...(definition.authorizedKeys ?? []), ...(options.authorizedKeys ?? [])];
  return {
    ...definition,
    authorizedKeys: [...new Set(keys)],
    ...(options.sshHostKey === undefined ? {} : { sshHostKey: options.sshHostKey }),
    kernelCommandLine: [...definition.kernelCommandLine, ...(options.kernelParameters ?? [])],
    enable: options.debugShell ? [...definition.enable, "debug-shell.service"] : definition.enable,
    ...(options.debugShell ? { rootShell: "debug" as const } : {}),
  };
}

/** The lock, made anew where the options say so, and everything that it names. */
async function obtain(
  definition: ApplianceDefinition,
  previous: Lock | undefined,
  options: BuildOptions,
  times: PhaseTimes,
): Promise<Supplies> {
  if (previous !== undefined && options.update !== "always") checkLock(definition, previous);
  const { mirrors, transport: opened } = await openMirrors(options);
  await using transport = opened;
  const access = { mirrors, transport };
  const resolve = async (because: string) => {
    times.enter("resolve");
    const next = await resolveLock(definition, previous, access, options);
    const lines = describeMove(previous, next);
    options.onEvent?.({ event: "lock-moved", lines, because });
    return next;
  };
  if (previous === undefined && options.update === "never") {
    throw new ImageError(
      "lock",
      `Cannot build ${definition.name}: it has no lock file. Make one with build --update.`,
      { definition: options.definitionPath },
    );
  }
  let lock =
    previous === undefined || options.update === "always" ? await resolve("as asked") : previous;
  times.enter("fetch");
  try {
    return await fetchAll(lock, access, options);
  } catch (error) {
    const isGone = error instanceof ImageError && error.code === "gone";
    if (!isGone || options.update !== "if-gone") throw error;
    lock = await resolve(error.message);
    times.enter("fetch");
    return await fetchAll(lock, access, options);
  }
}

async function fetchAll(
  lock: Lock,
  access: { readonly mirrors: Mirrors; readonly transport: Transport },
  options: BuildOptions,
): Promise<Supplies> {
  const { cacheDirectory } = options;
  let packages: Supplies["packages"] = new Map();
  let node: string | undefined;
  // Together: npm goes on trying for minutes after the mirror has turned out to be unreachable.
  await runTogether(
    [
      async (signal) => {
        packages = await fetchPackages(lock.packages, {
          ...access,
          signal,
          cacheDirectory,
          onProgress: (progress) => options.onEvent?.({ event: "progress", ...progress }),
        });
      },
      ...lock.npm.map((locked) => async (signal: AbortSignal) => {
        const npm = npmCommand(process.env);
        node = await fetchNpm(locked, { npm, cacheDirectory, signal });
      }),
    ],
    options.signal,
  );
  return { lock, packages, node };
}

/** How long each phase takes. */
class PhaseTimes {
  readonly #options: BuildOptions;
  readonly #spent = new Map<BuildPhase, number>();
  #current: { readonly phase: BuildPhase; readonly since: number } | undefined;

  constructor(options: BuildOptions) {
    this.#options = options;
  }

  enter(phase: BuildPhase): void {
    this.#leave();
    this.#current = { phase, since: this.#options.clock() };
    this.#options.onEvent?.({ event: "phase", phase });
  }

  /** Milliseconds by phase. */
  end(): Readonly<Record<string, number>> {
    this.#leave();
    return Object.fromEntries(this.#spent);
  }

  #leave(): void {
    if (this.#current === undefined) return;
    const { phase, since } = this.#current;
    const spentMs = this.#options.clock() - since;
    this.#spent.set(phase, (this.#spent.get(phase) ?? 0) + spentMs);
    this.#current = undefined;
  }
}
