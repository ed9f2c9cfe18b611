/** Booting a disk once, and what the box does when it is back from that. */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BlockDevice } from "../block/index.ts";
import { type BootState, type Result, RpcError, type RunReport } from "../rpc/index.ts";
import {
  chooseEntry,
  type FirmwareBoot,
  judgeComeback,
  parseNote,
  planBootOnce,
  planReturn,
  type ReturnPlan,
  type RunNote,
  readOptions,
  type VariableStep,
  variableOf,
} from "./boot-once.ts";
import { formatNumber, type LoaderPlace, parseNumbers } from "./boot-option.ts";
import type { Crash } from "./crash-dumps.ts";
import { findLoader, findTwins } from "./driver-boot-path.ts";
import { EfiVariables } from "./driver-efi-variables.ts";
import { readOptional } from "./driver-files.ts";
import { loadKernel, readKexecObstacle, unloadKernel } from "./driver-kexec.ts";
import { readTool } from "./driver-process.ts";
import { takeCrashes } from "./driver-pstore.ts";
import { globalVendor, noteName, noteVendor } from "./efi-names.ts";
import { ApplianceError } from "./error.ts";
import { isStartedByKexec } from "./kexec.ts";
import type { Log } from "./log.ts";

/** Counts boots in firmware that descends from EDK II (MdeModulePkg, MonotonicCounterRuntimeDxe). */
const bootCounter = { name: "MTC", vendor: "eb704011-1402-11d3-8e77-00a0c969723b" };
const reportFile = "run/diskomator/last-run.json";
const toolTimeoutMs = 10_000;

/** What is to be booted, and how it is opened. */
export interface BootOnceRequest {
  readonly disk: { readonly name: string; readonly serial: string };
  /** Kernel names of all other disks, the boot medium among them. */
  readonly others: readonly string[];
  readonly open: (name: string) => Promise<BlockDevice>;
  readonly run: string;
  readonly noReturn: boolean;
  /** The box starts the disk's kernel itself. */
  readonly kexec: boolean;
  readonly now: Date;
}

/** What was prepared. */
export type Prepared = Result<"bootOnce">;

/** The firmware's boot manager, as the box uses it. */
export class BootControl {
  readonly #root: string;
  readonly #log: Log;
  readonly #variables: EfiVariables;
  readonly #settled: Promise<{
    readonly report: RunReport | null;
    readonly underTest: string | null;
  }>;

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
    const secureBoot = this.#isSecure();
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
   * fails.
   * @throws RpcError `refused` or `failed`, with a `reason` among its facts.
   */
  async prepare(request: BootOnceRequest): Promise<Prepared> {
    await this.#settled;
    const { disk } = request;
    const comeback = this.#judge();
    if (!comeback.certain && !request.noReturn) throw noComeback(disk.name, comeback.text);
    const obstacle = request.kexec
      ? readKexecObstacle(this.#root, this.#isSecure() === true)
      : null;
    if (obstacle !== null) throw noKexec(disk.name, obstacle);
    await using device = await request.open(disk.name);
    const place = await findLoader(device, disk.name, process.arch);
    await refuseTwins(place, request);
    const { partUuid } = place;
    if (request.kexec) {
      const { file, plan, passedOver } = await loadKernel(this.#root, device, disk.name, place);
      await this.#keepNote(request, place, null).catch(async (error: unknown) => {
        await unloadKernel();
        throw error;
      });
      const { commandLine, kernelBytes, initrdBytes } = plan;
      const kexec = { passedOver, commandLine, kernelBytes, initrdBytes };
      return { entry: null, path: file, partUuid, comeback, kexec };
    }
    const entry = chooseEntry(this.#read());
    await this.#keepNote(request, place, entry);
    return { entry: formatNumber(entry), path: place.file, partUuid, comeback };
  }

  /** Writes what the firmware has to know, all of it or nothing. */
  async #keepNote(
    { disk, run, now }: BootOnceRequest,
    place: LoaderPlace,
    entry: number | null,
  ): Promise<void> {
    const { order, bootCount } = this.#read();
    const at = now.toISOString();
    const note: RunNote = { run, entry, disk: disk.serial || disk.name, at, order, bootCount };
    const undo: VariableStep[] = [];
    try {
      for (const step of planBootOnce(note, place)) {
        undo.unshift({ ...step, data: this.#variables.read(step.name, step.vendor) });
        await this.#apply(step);
      }
    } catch (error) {
      for (const step of undo) await this.#apply(step).catch(() => {});
      throw variableError(error, disk.name);
    }
  }

  /** Whether Secure Boot is on, where the firmware says. */
  #isSecure(): boolean | null {
    const secure = this.#variables.read("SecureBoot", globalVendor);
    return secure === null ? null : secure[0] === 1;
  }

  #judge(): BootState["comeback"] {
    if (this.#variables.list().length > 0) return judgeComeback(this.#read());
    return { certain: false, text: "this machine has no EFI variables" };
  }

  #read(): FirmwareBoot {
    const variables = this.#variables;
    const numbers = (name: string) => parseNumbers(variables.read(name, globalVendor) ?? noBytes);
    const options = new Map<number, Uint8Array>();
    for (const name of variables.list()) {
      const digits = /^Boot([0-9A-F]{4})-(.+)$/.exec(name);
      if (digits === null || digits[2] !== globalVendor) continue;
      const number = Number.parseInt(digits[1] ?? "", 16);
      options.set(number, variables.read(variableOf(number), globalVendor) ?? noBytes);
    }
    const count = variables.read(bootCounter.name, bootCounter.vendor);
    return {
      options: readOptions(options),
      order: numbers("BootOrder"),
      current: numbers("BootCurrent")[0] ?? null,
      next: numbers("BootNext")[0] ?? null,
      bootCount: count?.length === 4 ? Buffer.from(count).readUInt32LE() : null,
      isKexec: isStartedByKexec(readOptional(this.#root, "proc/sys/kernel/bootloader_type")),
    };
  }

  async #settle(now: () => Date) {
    const bytes = this.#variables.read(noteName, noteVendor);
    if (bytes === null) return { report: await this.#readReport(), underTest: null };
    const note = parseNote(bytes);
    if (note === null) {
      await this.#variables.write(noteName, noteVendor, null);
      return { report: null, underTest: null };
    }
    const found = this.#read();
    const plan = planReturn(found, note);
    if (plan === null) return { report: null, underTest: note.run };
    const entry = note.entry === null ? "" : variableOf(note.entry);
    const problems = plan.isEntryLost ? [`The boot entry ${entry} was lost or overwritten.`] : [];
    let isRestored = true;
    for (const step of plan.steps) {
      await this.#apply(step).catch((error: unknown) => {
        problems.push(error instanceof Error ? error.message : String(error));
        isRestored &&= step.name !== "BootOrder";
      });
    }
    const crashes = await takeCrashes(this.#root, new Date(note.at));
    const report = reportOf(note, found, plan, { problems, isRestored, crashes, now: now() });
    await this.#keepReport(report);
    const { run, boots, bootOrder, orderIgnored } = report;
    const order = bootOrder.outcome;
    const fields = { run, disk: note.disk, boots, order, crashes: crashes.length };
    this.#log("run-returned", { ...fields, booted: orderIgnored ? "no" : "yes" });
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

const noBytes = new Uint8Array();

function reportOf(
  note: RunNote,
  found: FirmwareBoot,
  plan: ReturnPlan,
  more: {
    readonly problems: readonly string[];
    readonly isRestored: boolean;
    readonly crashes: readonly Crash[];
    readonly now: Date;
  },
): RunReport {
  const changed = more.isRestored ? "restored" : "failed";
  return {
    run: note.run,
    disk: note.disk,
    startedAt: note.at,
    returnedAt: more.now.toISOString(),
    boots: plan.boots,
    orderIgnored: plan.orderIgnored,
    bootOrder: {
      outcome: plan.isOrderChanged ? changed : "same",
      wanted: note.order.map(formatNumber),
      found: found.order.map(formatNumber),
    },
    crashes: [...more.crashes],
    problems: [...more.problems],
    kexec: note.entry === null,
  };
}

async function refuseTwins(
  { partUuid }: LoaderPlace,
  { disk, others, open, kexec }: BootOnceRequest,
): Promise<void> {
  const [twin] = await findTwins(partUuid, others, open);
  if (twin === undefined) return;
  const message =
    `Cannot boot ${disk.name}: ${twin} has a partition of the same PARTUUID (${partUuid}), so that ` +
    `${kexec ? "its system" : "the firmware"} could not tell them apart. They carry the same ` +
    "image: change one of them.";
  throw new RpcError("refused", message, { reason: "ambiguous", disk: disk.name, twin });
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

function variableError(error: unknown, disk: string): unknown {
  if (!(error instanceof ApplianceError) || error.code !== "efi") return error;
  const message = `Cannot boot ${disk} once: ${error.message} Nothing was changed.`;
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
