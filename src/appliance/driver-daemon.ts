/**
 * The daemon: events mark disks as changed, and one loop brings what the kernel exports in line
 * with what is there. It is driven by levels, not edges: an event only says where to look, so
 * one that comes late, twice or not at all does no harm.
 */
import { applyPlan, type GroupResult } from "./apply.ts";
import type { BootMemory } from "./boot-medium.ts";
import { GrantClock } from "./driver-grant-clock.ts";
import { SoftServing } from "./driver-soft-serving.ts";
import type { BlockFacts } from "./facts.ts";
import { type WantedAccess, wantedAccess } from "./grant-exports.ts";
import { nqnPrefix } from "./identity.ts";
import type { Address } from "./network.ts";
import { type Found, servicePort, type Wanted } from "./nvmet.ts";
import { planExports, planTeardown } from "./plan.ts";
import {
  describeBootMedium,
  describeFailure,
  heldNames,
  reportDisks,
  reportGrants,
  servedNqns,
} from "./report.ts";
import { Retries } from "./retries.ts";
import type { DiskRow, ExportMemory, State } from "./state.ts";
import { type Stock, takeStock } from "./stock.ts";
import { diskOfEvent, type Uevent } from "./uevents.ts";
import type { DaemonSetup, World } from "./world.ts";

/** How long udev may take to describe the partitions of a disk. */
const partitionWaitMs = 3000;
/** How long after the kernel's start the boot medium may turn up beside others like it. */
const bootMediumWaitMs = 60_000;
/** Between attempts to make the kernel's target usable, and its ports. */
const targetRetryMs = 5000;
/** A change of configfs that takes longer is told on the screen. */
const slowChangeMs = 5000;

const nothingWanted = { exports: [], hosts: [] };

/** Exports disks until it is stopped. */
export class Daemon {
  readonly #setup: DaemonSetup;
  readonly #world: World;
  readonly #startedAt: string;
  readonly #bootedAt: string;
  readonly #facts = new Map<string, BlockFacts>();
  readonly #dirty = new Set<string>();
  /** When the kernel announced a disk last, and when its present incarnation was first seen. */
  readonly #announcedMs = new Map<string, number>();
  readonly #firstSeenMs = new Map<string, number>();
  readonly #partitionTimers = new Map<string, NodeJS.Timeout>();
  readonly #waitedEnough = new Set<string>();
  readonly #retries = new Retries();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #exports: Map<string, ExportMemory>;
  readonly #problems = new Map<string, string>();
  #bootMemory: BootMemory;
  #addresses: readonly Address[] = [];
  #found: Found | null = null;
  #stock: Stock | null = null;
  /** As of the end of the last round; null before the first. */
  #rows: readonly DiskRow[] | null = null;
  #remarks: readonly string[] = [];
  #published = "";
  #rescanWanted = true;
  #roundWanted = false;
  #running: Promise<void> | null = null;
  #stopped = false;
  #isTryingAgain = false;
  #notice: string | null = null;
  readonly #grantClock: GrantClock;
  readonly #soft: SoftServing;

  constructor(setup: DaemonSetup, world: World) {
    this.#setup = setup;
    this.#world = world;
    this.#grantClock = new GrantClock(setup, world, () => this.#wake());
    this.#soft = new SoftServing(world.softTarget, () => this.#wake());
    this.#bootMemory = setup.bootMemory;
    this.#exports = new Map(setup.exports);
    const now = world.now().getTime();
    this.#startedAt = new Date(now).toISOString();
    this.#bootedAt = new Date(now - world.monotonicMs()).toISOString();
    this.#after(Math.max(0, bootMediumWaitMs - world.monotonicMs()), () => {});
  }

  /** Looks at every disk anew. */
  rescan(): void {
    this.#rescanWanted = true;
    this.#wake();
  }

  /** Looks at the disk that an event is about. */
  handle(event: Uevent): void {
    const name = diskOfEvent(event);
    if (name !== null) {
      if (event.source === "kernel" && event.properties.DEVTYPE === "disk") {
        this.#announcedMs.set(name, event.atMs);
      }
      this.#dirty.add(name);
      this.#wake();
    }
  }

  /** Makes what has been granted, revoked or chosen hold; resolves once it does. */
  async settle(): Promise<void> {
    this.#wake();
    await this.idle();
  }

  /** The newest state; null before the first. */
  get state(): State | null {
    return this.#rows === null ? null : this.#describe(this.#rows);
  }

  /** NQNs that hosts can reach now, and why others that are wanted cannot be. */
  get reach(): { readonly served: ReadonlySet<string>; readonly failures: readonly string[] } {
    return {
      served: this.#served(),
      failures: [
        ...this.#remarks,
        ...this.#soft.failures.values(),
        ...this.#retries.errors().values(),
      ],
    };
  }

  setAddresses(addresses: readonly Address[]): void {
    this.#addresses = addresses;
    this.#report();
  }

  /** Shows a sentence under `topic`, or takes it away. */
  setProblem(topic: string, text: string | null): void {
    if (text === null) {
      if (!this.#problems.delete(topic)) {
        return;
      }
    } else if (this.#problems.get(topic) !== text) {
      this.#problems.set(topic, text);
      this.#world.log("problem", { topic, text });
    }
    this.#report();
  }

  /** Shows a sentence before all else, or takes it away. */
  setNotice(text: string | null): void {
    this.#notice = text;
    this.#report();
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    for (;;) {
      const work = this.#running ?? this.#soft.work;
      if (work === null) return;
      await work;
    }
  }

  /** Ends the work; with `teardown` nothing of ours stays in the kernel. */
  async stop(teardown: boolean): Promise<void> {
    this.#stopped = true;
    this.#grantClock.stop();
    for (const timer of [...this.#timers, ...this.#partitionTimers.values()]) {
      clearTimeout(timer);
    }
    await this.idle();
    if (!teardown || this.#found === null) {
      return;
    }
    const { target } = this.#world;
    await this.#soft.stop();
    const plan = planTeardown(target.read(), this.#wanted(nothingWanted));
    for (const result of await applyPlan(target.calls, plan)) {
      this.#logResult(result);
    }
    this.#world.lockDisks(new Map());
    this.#world.log("torn-down", { groups: plan.groups.length });
  }

  #wake(): void {
    this.#roundWanted = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  async #run(): Promise<void> {
    // One turn of the event loop, so that a burst of events makes one round.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#roundWanted && !this.#stopped) {
      this.#roundWanted = false;
      this.#grantClock.tick();
      this.#look();
      this.#judge();
      if (await this.#prepare()) {
        await this.#reconcile();
      }
      this.#rows = this.#listRows();
      this.#report();
    }
  }

  /** Reads what has changed on the machine. */
  #look(): void {
    if (this.#rescanWanted) {
      this.#rescanWanted = false;
      for (const name of [...this.#world.listDisks(), ...this.#facts.keys()]) {
        this.#dirty.add(name);
      }
    }
    for (const name of this.#dirty) {
      const facts = this.#world.readFacts(name);
      const before = this.#facts.get(name);
      if (JSON.stringify(facts) !== JSON.stringify(before ?? null)) {
        this.#retries.clear(name);
      }
      if (facts === null || facts.diskSequence !== before?.diskSequence) {
        this.#forget(name);
      }
      if (facts === null) {
        this.#facts.delete(name);
        this.#announcedMs.delete(name);
      } else {
        this.#facts.set(name, facts);
        if (!this.#firstSeenMs.has(name)) {
          const now = this.#world.monotonicMs();
          this.#firstSeenMs.set(name, this.#announcedMs.get(name) ?? now);
        }
      }
    }
    this.#dirty.clear();
  }

  /** Another disk or medium is behind the name now, or none. */
  #forget(name: string): void {
    this.#firstSeenMs.delete(name);
    this.#waitedEnough.delete(name);
    clearTimeout(this.#partitionTimers.get(name));
    this.#partitionTimers.delete(name);
  }

  #judge(): void {
    const { configuration, box, bootClues } = this.#setup;
    this.#stock = takeStock({
      facts: [...this.#facts.values()],
      config: configuration.config,
      box,
      bootClues,
      bootMemory: this.#bootMemory,
      bootTimeIsUp: this.#world.monotonicMs() >= bootMediumWaitMs,
      waitedEnough: this.#waitedEnough,
      held: heldNames(this.#found, this.#world.softTarget.served, this.#exports),
      exports: this.#exports,
      blocked: this.#retries.blocked(),
      choices: this.#setup.choices,
    });
    if (JSON.stringify(this.#stock.bootMemory) !== JSON.stringify(this.#bootMemory)) {
      this.#bootMemory = this.#stock.bootMemory;
      this.#world.saveBootMemory(this.#bootMemory);
    }
    for (const name of this.#stock.waiting) {
      if (!this.#partitionTimers.has(name)) {
        const timer = setTimeout(() => {
          this.#waitedEnough.add(name);
          this.#wake();
        }, partitionWaitMs);
        this.#partitionTimers.set(name, timer);
      }
    }
  }

  /** Makes the target usable, once; false when it is not. */
  async #prepare(): Promise<boolean> {
    if (this.#found !== null) {
      return true;
    }
    try {
      await this.#world.target.prepare();
      this.#found = this.#world.target.read();
      this.setProblem("target", null);
      this.#judge();
      return true;
    } catch (error) {
      this.setProblem("target", error instanceof Error ? error.message : String(error));
      this.#after(targetRetryMs, () => {});
      return false;
    }
  }

  async #reconcile(): Promise<void> {
    const { target } = this.#world;
    const { access } = this.#setup.configuration.config;
    const wanted = wantedAccess(this.#stock!.offers, this.#setup.grants, access, this.#exports);
    await this.#setTlsKeys(wanted);
    const plan = planExports(this.#wanted(wanted), this.#found!);
    this.#remarks = plan.remarks;
    if (plan.groups.length > 0) {
      const slow = setTimeout(() => {
        this.setProblem(
          "slow",
          "The kernel is slow to answer: a disk has not completed a request.",
        );
      }, slowChangeMs);
      const results = await applyPlan(target.calls, plan, (result) => this.#logResult(result));
      clearTimeout(slow);
      this.setProblem("slow", null);
      this.#found = target.refresh(this.#found!, new Set(plan.groups.map((one) => one.subject)));
      this.#learn(results, wanted);
      const partial = results.filter(({ intent, failure }) => intent !== "export" && failure);
      this.#remarks = [...this.#remarks, ...partial.map(describeFailure)];
      if (partial.length > 0) this.#tryAgain();
    }
    this.#adopt();
    this.#soft.want(wanted.soft);
    const locked = this.#stock!.disks.filter(({ verdict }) => verdict.kind === "export");
    const pairs = locked.map(({ disk }) => [disk.name, disk.diskSequence] as const);
    const blocked = this.#retries.blocked();
    this.#world.lockDisks(new Map(pairs.filter(([name]) => !blocked.has(name))));
  }

  async #setTlsKeys({ tlsKeys }: WantedAccess): Promise<void> {
    if (!this.#setup.tls) return;
    try {
      await this.#world.setTlsKeys(tlsKeys);
      this.setProblem("tls", null);
    } catch (error) {
      this.setProblem("tls", error instanceof Error ? error.message : String(error));
      this.#tryAgain();
    }
  }

  /** Notes which exports failed, and which namespaces were opened or measured anew. */
  #learn(results: readonly GroupResult[], { exports }: WantedAccess): void {
    for (const result of results) {
      const wanted = exports.find(({ nqn }) => nqn === result.subject);
      const judged = this.#stock!.disks.find(({ disk }) => disk.name === wanted?.disk);
      if (wanted === undefined || judged === undefined || result.intent === "remove") {
        this.#exports.delete(result.subject);
      } else if (result.intent === "export") {
        const resized = wanted.resize && !wanted.reopen;
        const known = this.#exports.get(result.subject);
        this.#exports.delete(result.subject);
        const { name, diskSequence, sizeBytes } = judged.disk;
        if (result.failure !== null) {
          this.#fail(name, diskSequence, describeFailure(result));
        } else if (resized && known !== undefined) {
          this.#exports.set(result.subject, { ...known, sizeBytes });
          this.#world.log("resized", { disk: name, sizeBytes });
        } else {
          this.#remember(result.subject, name, diskSequence, sizeBytes, this.#took(name));
        }
      } else if (result.failure !== null && !servedNqns(this.#found!).has(result.subject)) {
        this.#fail(judged.disk.name, judged.disk.diskSequence, describeFailure(result));
      }
    }
  }

  /** What an earlier run left in the kernel and needed no step is ours from now on. */
  #adopt(): void {
    const served = this.#served();
    for (const { disk, verdict } of this.#stock!.disks) {
      if (verdict.kind === "export" && served.has(verdict.names.nqn)) {
        const { nqn } = verdict.names;
        const { name, diskSequence, sizeBytes } = disk;
        this.#retries.clear(name);
        const known = this.#exports.get(nqn);
        // The project's own target begins anew with each daemon and disk: there is nothing to adopt.
        const isSoft = this.#world.softTarget.served.has(nqn);
        if (known === undefined || (isSoft && known.diskSequence !== diskSequence)) {
          this.#remember(nqn, name, diskSequence, sizeBytes, isSoft ? this.#took(name) : null);
        }
      }
    }
  }

  #remember(
    nqn: string,
    name: string,
    diskSequence: number | null,
    sizeBytes: number,
    tookMs: number | null,
  ): void {
    const since = this.#world.now().toISOString();
    this.#exports.set(nqn, { name, diskSequence, sizeBytes, since, tookMs });
    const readOnly = this.#world.softTarget.served.has(nqn) ? "yes" : "no";
    const event = tookMs === null ? "adopted" : "exported";
    this.#world.log(event, { disk: name, nqn, tookMs, readOnly });
  }

  #served(): ReadonlySet<string> {
    const kernel = this.#found === null ? [] : servedNqns(this.#found);
    return new Set([...kernel, ...this.#world.softTarget.served]);
  }

  #took(name: string): number {
    const now = this.#world.monotonicMs();
    return Math.round(now - (this.#firstSeenMs.get(name) ?? now));
  }

  #fail(name: string, sequence: number | null, error: string): void {
    const againMs = this.#retries.fail(name, sequence, error);
    this.#world.log("failed", { disk: name, error, againMs });
    if (againMs !== null) {
      this.#after(againMs, () => this.#retries.makeDue(name));
    }
  }

  /** A port, link, removal or key that failed: one more round for all of them, later. */
  #tryAgain(): void {
    if (this.#isTryingAgain) {
      return;
    }
    this.#isTryingAgain = true;
    this.#after(targetRetryMs, () => {
      this.#isTryingAgain = false;
    });
  }

  #after(delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
      this.#wake();
    }, delayMs);
    this.#timers.add(timer);
  }

  #logResult(result: GroupResult): void {
    if (result.failure !== null) {
      this.#world.log("problem", { topic: result.subject, text: describeFailure(result) });
    } else if (result.intent === "remove") {
      this.#world.log("removed", { subject: result.subject });
    } else if (result.intent === "port") {
      this.#world.log("port-ready", { subject: result.subject });
    }
  }

  #wanted({ exports, hosts }: Pick<WantedAccess, "exports" | "hosts">): Wanted {
    const { configuration, box, ports } = this.#setup;
    return { ports, exports, hosts, nqnPrefix: nqnPrefix(configuration.config.nqnBase, box) };
  }

  #listRows(): readonly DiskRow[] {
    const errors = new Map(this.#retries.errors());
    for (const { disk, verdict } of this.#stock!.disks) {
      const failure = verdict.kind === "export" && this.#soft.failures.get(verdict.names.nqn);
      if (failure) errors.set(disk.name, failure);
    }
    return reportDisks(this.#stock!.disks, this.#served(), this.#exports, errors);
  }

  /** Publishes the state if it says anything new. */
  #report(): void {
    const disks = this.#rows;
    if (disks === null || this.#stopped) {
      return;
    }
    const state = this.#describe(disks);
    const text = JSON.stringify(state);
    if (text !== this.#published) {
      this.#published = text;
      this.#world.publish(state);
    }
  }

  #describe(disks: readonly DiskRow[]): State {
    const { version, box, name, bootClues, hasEfiVariables, configuration, grants } = this.#setup;
    const { access, readOnly } = configuration.config;
    const failing = disks.some(({ state }) => state.kind === "failing");
    return {
      format: 1,
      box,
      name: name.short,
      fullName: name.full,
      version,
      access,
      readOnly,
      notice: this.#notice,
      grants: reportGrants(grants.list, disks),
      servicePort,
      addresses: this.#addresses,
      disks,
      bootMedium: describeBootMedium(bootClues, this.#bootMemory, disks, hasEfiVariables),
      problems: [...configuration.problems, ...this.#problems.values(), ...this.#remarks],
      kernelMessages: failing ? this.#world.kernelMessages() : [],
      startedAt: this.#startedAt,
      bootedAt: this.#bootedAt,
    };
  }
}
