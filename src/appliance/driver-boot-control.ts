/** Booting a disk once, and what the box does when it is back from that. */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BlockDevice } from "../block/index.ts";
import { type BootState, type Result, RpcError, type RunReport, wasBooted } from "../rpc/index.ts";
import { type FirmwareBoot, judgeComeback } from "./boot-comeback.ts";
import { noteOrder, parseNote, type RunNote } from "./boot-note.ts";
import { chooseEntry, entryDescription, planBootOnce, type VariableStep } from "./boot-once.ts";
import { formatNumber, type LoaderPlace, loaderPath } from "./boot-option.ts";
import { planReturn, type ReturnPlan } from "./boot-return.ts";
import type { Crash } from "./crash-dumps.ts";
import { findDiskPath } from "./disk-path.ts";
import { readFirmwareBoot, readSecureBoot } from "./driver-boot-firmware.ts";
import { findLoader, findTwins } from "./driver-boot-path.ts";
import { readDiskPlace } from "./driver-disk-place.ts";
import { EfiVariables } from "./driver-efi-variables.ts";
import { loadKernel, readKexecObstacle, unloadKernel } from "./driver-kexec.ts";
import { readTool } from "./driver-process.ts";
import { listCrashes, takeCrashes } from "./driver-pstore.ts";
import { noteName, noteVendor } from "./efi-names.ts";
import { ApplianceError } from "./error.ts";
import type { Log } from "./log.ts";

const reportFile = "run/diskomator/last-run.json";
const toolTimeoutMs = 10_000;

/** What is to be booted, and how it is opened. */
export interface BootOnceRequest {
  readonly disk: { readonly name: string; readonly serial: string; readonly devicePath: string };
  /** Kernel names of all other disks, the boot medium among them. */
  readonly others: readonly string[];
  readonly open: (name: string) => Promise<BlockDevice>;
  readonly run: string;
  readonly noReturn: boolean;
  /** The box starts the disk's kernel itself. */
  readonly kexec: boolean;
  /** The entry is put at the end of the boot order for the run. */
  readonly appendEntry: boolean;
  readonly now: Date;
}

/** What was prepared. */
export type Prepared = Result<"bootOnce">;

/** What is under way, and how all of it is taken back, in this order. */
interface Begun {
  readonly disk: string;
  readonly undo: VariableStep[];
  isLoaded: boolean;
}

/** The firmware's boot manager, as the box uses it. */
export class BootControl {
  readonly #root: string;
  readonly #log: Log;
  readonly #variables: EfiVariables;
  readonly #settled: Promise<{
    readonly report: RunReport | null;
    readonly underTest: string | null;
  }>;
  #begun: Begun | null = null;

  /** Sets right what a run before this boot has left; that runs beside everything else. */
  constructor(root: string, log: Log, now: () => Date) {
    this.#root = root;
    this.#log = log;
    this.#variables = new EfiVariables(root);
    this.#settled = this.#settle(now).catch((error: unknown) => {
      log("problem", { topic: "run", text: String(error) });
      return { report: null, underTest: null };
    });
  }

  /** What `bootState` answers. */
  async state(): Promise<BootState> {
    const { report, underTest } = await this.#settled;
    const [firmwareMs, loaderMs] = await readBootTimes();
    const secureBoot = readSecureBoot(this.#variables);
    return {
      comeback: this.#judge(),
      secureBoot,
      kexecObstacle: readKexecObstacle(this.#root, secureBoot === true),
      firmwareMs,
      loaderMs,
      underTest,
      lastRun: report,
    };
  }

  /**
   * Makes a disk boot once, by the firmware or as the box ends; nothing is left of it when that
   * fails. From then on the box is about to go, unless `takeBack` is called.
   * @throws RpcError `refused` or `failed`, with a `reason` among its facts.
   */
  async prepare(request: BootOnceRequest): Promise<Prepared> {
    if (this.#begun !== null) throw isGoing(request.disk.name, this.#begun.disk);
    this.#begun = { disk: request.disk.name, undo: [], isLoaded: false };
    try {
      return await this.#prepare(request, this.#begun);
    } catch (error) {
      throw variableError(error, request.disk.name, await this.takeBack());
    }
  }

  /**
   * The box does not go after all: what was prepared is undone.
   * @returns a sentence on how it is now
   */
  async takeBack(): Promise<string> {
    const { undo = [], isLoaded = false } = this.#begun ?? {};
    const left: string[] = [];
    for (const step of undo) {
      await this.#apply(step).catch((error: unknown) => {
        this.#log("problem", { topic: "run", text: String(error) });
        left.push(step.name);
      });
    }
    if (isLoaded) await unloadKernel();
    this.#begun = null;
    if (left.length === 0) return "Nothing was changed.";
    return `These variables could not be set back, and the next boot may be the disk's: ${left.join(", ")}.`;
  }

  async #prepare(request: BootOnceRequest, begun: Begun): Promise<Prepared> {
    const { report } = await this.#settled;
    const { disk, kexec: isKexec } = request;
    const comeback = this.#judge();
    if (!comeback.certain && !request.noReturn) throw noComeback(disk.name, comeback.text);
    const isSecure = readSecureBoot(this.#variables) === true;
    const obstacle = isKexec ? readKexecObstacle(this.#root, isSecure) : null;
    if (obstacle !== null) throw noKexec(disk.name, obstacle);
    await using device = await request.open(disk.name);
    const place = await findLoader(device, disk.name, process.arch);
    const { partUuid } = place;
    const twins = [...(await findTwins(partUuid, request.others, request.open))];
    if (isKexec) {
      refuseTwins(twins, place, request, "its system");
      const { file, plan, passedOver } = await loadKernel(this.#root, device, disk.name, place);
      begun.isLoaded = true;
      await this.#keep(begun, await this.#noteOf(request, place, null, null), null);
      const { commandLine, kernelBytes, initrdBytes } = plan;
      const kexec = { passedOver, commandLine, kernelBytes, initrdBytes };
      return { entry: null, path: file, partUuid, comeback, kexec };
    }
    const found = readFirmwareBoot(this.#root, this.#variables);
    const path = this.#findPath(request, found, report);
    if (path === null) refuseTwins(twins, place, request, "the firmware");
    const entry = chooseEntry(found);
    const note = await this.#noteOf(request, place, entry, path);
    await this.#keep(begun, note, loaderPath(place, path ?? undefined));
    const devicePath = path === null ? "short" : "full";
    const rest = { path: place.file, partUuid, comeback, devicePath, twins } as const;
    return { entry: formatNumber(entry), ...rest };
  }

  /** A full path that the firmware booted nothing by is not tried twice in a row. */
  #findPath(
    { disk }: BootOnceRequest,
    { options }: FirmwareBoot,
    last: RunReport | null,
  ): Uint8Array | null {
    if (last !== null && last.disk === nameInNote(disk) && isPathInVain(last)) return null;
    const others = [...options.values()].filter((one) => one?.description !== entryDescription);
    return findDiskPath(readDiskPlace(this.#root, disk.devicePath), others);
  }

  async #noteOf(
    { disk, run, now, noReturn, appendEntry }: BootOnceRequest,
    { partUuid }: LoaderPlace,
    entry: number | null,
    path: Uint8Array | null,
  ): Promise<RunNote> {
    const { order, options, bootCount } = readFirmwareBoot(this.#root, this.#variables);
    // An entry that an earlier run has left is written anew, and is nobody's.
    const others = order.filter((number) => number !== entry);
    return {
      run,
      disk: nameInNote(disk),
      at: now.toISOString(),
      entry,
      partUuid,
      order: noteOrder(others, options),
      bootCount,
      noReturn,
      // Nothing could take it out of an order again that has no other entry.
      isAppended: appendEntry && entry !== null && others.length > 0,
      isFullPath: path !== null,
      crashes: [...(await listCrashes(this.#root))],
    };
  }

  /** Writes what the firmware has to know. */
  async #keep({ undo }: Begun, note: RunNote, path: Uint8Array | null): Promise<void> {
    const { order } = readFirmwareBoot(this.#root, this.#variables);
    for (const step of planBootOnce(note, path ?? new Uint8Array(), order)) {
      undo.unshift({ ...step, data: this.#variables.read(step.name, step.vendor) });
      await this.#apply(step);
    }
  }

  #judge(): BootState["comeback"] {
    if (this.#variables.list().length === 0) {
      return { certain: false, text: "this machine has no EFI variables" };
    }
    try {
      return judgeComeback(readFirmwareBoot(this.#root, this.#variables));
    } catch (error) {
      if (!(error instanceof ApplianceError)) throw error;
      const text = `the firmware does not give its variable ${String(error.facts.name)}`;
      return { certain: false, text };
    }
  }

  async #settle(now: () => Date) {
    const bytes = this.#variables.read(noteName, noteVendor);
    if (bytes === null) return { report: await this.#readReport(), underTest: null };
    const note = parseNote(bytes);
    if (note === null) {
      await this.#variables.write(noteName, noteVendor, null);
      return { report: null, underTest: null };
    }
    const found = readFirmwareBoot(this.#root, this.#variables);
    const plan = planReturn(found, note);
    if (plan === null) return { report: null, underTest: note.run };
    const problems = [...plan.problems];
    let hasFailed = false;
    for (const step of plan.steps) {
      await this.#apply(step).catch((error: unknown) => {
        problems.push(error instanceof Error ? error.message : String(error));
        hasFailed ||= step.name === "BootOrder";
      });
    }
    const crashes = await takeCrashes(this.#root, note.crashes);
    const report = reportOf(note, found, plan, { problems, hasFailed, crashes, now: now() });
    await this.#keepReport(report);
    const { run, boots, bootOrder } = report;
    const order = bootOrder.outcome;
    const isBooted = wasBooted(report);
    const booted = isBooted === null ? "unknown" : isBooted ? "yes" : "no";
    const fields = { run, disk: note.disk, boots, order, crashes: crashes.length, booted };
    this.#log("run-returned", fields);
    return { report, underTest: null };
  }

  #apply({ name, vendor, data }: VariableStep): Promise<void> {
    return this.#variables.write(name, vendor, data);
  }

  /** A daemon that is started again still knows. */
  async #readReport(): Promise<RunReport | null> {
    try {
      return JSON.parse(await readFile(join(this.#root, reportFile), "utf8"));
    } catch {
      return null;
    }
  }

  async #keepReport(report: RunReport): Promise<void> {
    const path = join(this.#root, reportFile);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.new`, `${JSON.stringify(report)}\n`, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }
}

/** The note and the report call a disk so. */
function nameInNote({ serial, name }: BootOnceRequest["disk"]): string {
  return serial || name;
}

function isPathInVain(report: RunReport): boolean {
  const { devicePath, orderIgnored, entryLost = false } = report;
  return devicePath === "full" && !orderIgnored && !entryLost && wasBooted(report) === false;
}

function reportOf(
  note: RunNote,
  found: FirmwareBoot,
  plan: ReturnPlan,
  more: {
    readonly problems: readonly string[];
    readonly hasFailed: boolean;
    readonly crashes: readonly Crash[];
    readonly now: Date;
  },
): RunReport {
  return {
    run: note.run,
    disk: note.disk,
    startedAt: note.at,
    returnedAt: more.now.toISOString(),
    boots: plan.boots,
    orderIgnored: plan.orderIgnored,
    bootOrder: {
      outcome: more.hasFailed ? "failed" : plan.order,
      wanted: plan.wanted.map(formatNumber),
      found: found.order.map(formatNumber),
    },
    crashes: [...more.crashes],
    problems: [...more.problems],
    kexec: note.entry === null,
    entryLost: plan.isEntryLost,
    appendEntry: note.isAppended,
    ...(note.entry === null ? {} : { devicePath: note.isFullPath ? "full" : "short" }),
  };
}

function refuseTwins(
  [twin]: readonly string[],
  { partUuid }: LoaderPlace,
  { disk }: BootOnceRequest,
  who: string,
): void {
  if (twin === undefined) return;
  const message =
    `Cannot boot ${disk.name}: ${twin} has a partition of the same PARTUUID (${partUuid}), so that ` +
    `${who} could not tell them apart. They carry the same image: change one of them.`;
  throw new RpcError("refused", message, { reason: "ambiguous", disk: disk.name, twin });
}

function isGoing(disk: string, other: string): RpcError {
  const message = `Cannot boot ${disk} once: the box is about to boot ${other}. Wait until it is back from that.`;
  return new RpcError("refused", message, { reason: "going", disk, other });
}

function noKexec(disk: string, why: string): RpcError {
  const message = `Cannot start the kernel of ${disk} by kexec: ${why}. Boot it by the firmware.`;
  return new RpcError("refused", message, { reason: "no-kexec", disk, why });
}

function noComeback(disk: string, why: string): RpcError {
  const message =
    `Cannot boot ${disk} once: the box would not come back by itself, since ${why}. Put its medium ` +
    "first in the firmware's boot order and boot it again, or say that it need not come back.";
  return new RpcError("refused", message, { reason: "no-comeback", disk, why });
}

function variableError(error: unknown, disk: string, now: string): unknown {
  if (!(error instanceof ApplianceError) || error.code !== "efi") return error;
  const message = `Cannot boot ${disk} once: ${error.message} ${now}`;
  return new RpcError("failed", message, { ...error.facts, disk });
}

/** Of this boot, in milliseconds: the firmware's share, and the loader's. */
async function readBootTimes(): Promise<readonly [number | null, number | null]> {
  const names = ["FirmwareTimestampMonotonic", "LoaderTimestampMonotonic"];
  const text = await readTool(
    "systemctl",
    ["show", ...names.map((n) => `--property=${n}`)],
    toolTimeoutMs,
  );
  const [firmware = 0, loader = 0] = names.map((name) => {
    return Number(new RegExp(`^${name}=(\\d+)$`, "m").exec(text)?.[1] ?? 0);
  });
  return [
    firmware > loader ? Math.round((firmware - loader) / 1000) : null,
    loader > 0 ? Math.round(loader / 1000) : null,
  ];
}
