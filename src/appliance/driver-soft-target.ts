/**
 * Disks that the kernel's target cannot serve, since it opens every disk for writing: read-only ones
 * and overlays, by the project's own target on a port of its own. Neither program nor port is there
 * before the first of them.
 */
import { join } from "node:path";
import type { BlockDevice, OverlayDisk } from "../block/index.ts";
import type { RunningTarget, TargetListener } from "../target/index.ts";
import { ApplianceError } from "./error.ts";
import type { SoftExport } from "./grant-exports.ts";
import type { Log } from "./log.ts";
import { Rate } from "./rate.ts";

/** What a SoftTarget is made from. */
export interface SoftTargetOptions {
  /** Where /dev is. */
  readonly root: string;
  readonly ipv6: boolean;
  readonly log: Log;
  /** Where it listens; `readOnlyPort` on a box. */
  readonly port: number;
  /** In place of the machine's disks, for tests. */
  readonly openDisk?: (path: string) => Promise<BlockDevice>;
}

interface Served {
  readonly wish: SoftExport;
  readonly key: string;
  readonly device: BlockDevice;
  readonly overlay: OverlayDisk | null;
}

/** Memory of an overlay: what is taken, and how much may be. */
export interface OverlayUse {
  readonly usedBytes: number;
  readonly maxBytes: number;
}

/** The second target of a box. */
export class SoftTarget {
  readonly #options: SoftTargetOptions;
  readonly #served = new Map<string, Served>();
  #running: RunningTarget | null = null;
  #listeners: readonly TargetListener[] = [];
  #listening = "";

  constructor(options: SoftTargetOptions) {
    this.#options = options;
  }

  /** NQNs that hosts can reach. */
  get served(): ReadonlySet<string> {
    return new Set(this.#listeners.length === 0 ? [] : this.#served.keys());
  }

  /** What the overlay of this NQN holds; null where there is none. */
  overlayUse(nqn: string): OverlayUse | null {
    const served = this.#served.get(nqn);
    if (!served?.overlay) return null;
    return { usedBytes: served.overlay.heldBytes, maxBytes: overlayMax(served.wish) };
  }

  /**
   * Makes what is served that which is wished. What has gone or changed is ended first; hosts of the
   * rest notice nothing. Never rejects: NQN → what failed.
   */
  async settle(wishes: readonly SoftExport[]): Promise<ReadonlyMap<string, string>> {
    const failures = new Map<string, string>();
    const wanted = new Map(wishes.map((wish) => [wish.nqn, keyOf(wish)]));
    for (const [nqn, served] of this.#served) {
      if (wanted.get(nqn) !== served.key) await this.#end(nqn);
    }
    if (wishes.length === 0) {
      await this.close();
      return failures;
    }
    for (const wish of wishes.filter(({ nqn }) => !this.#served.has(nqn))) {
      try {
        await this.#begin(wish);
      } catch (error) {
        failures.set(wish.nqn, error instanceof Error ? error.message : String(error));
      }
    }
    try {
      await this.#listen(wishes);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      for (const { nqn } of wishes) failures.set(nqn, text);
    }
    return failures;
  }

  /** Ends everything. Idempotent. */
  async close(): Promise<void> {
    for (const nqn of [...this.#served.keys()]) await this.#end(nqn);
    this.#listeners = [];
    this.#listening = "";
    const running = this.#running;
    this.#running = null;
    await running?.close();
  }

  async #begin(wish: SoftExport): Promise<void> {
    const { log } = this.#options;
    if (this.#running === null) {
      const { createTarget } = await import("../target/index.ts");
      const rates = { "host-connected": new Rate(), "host-refused": new Rate() };
      this.#running = createTarget({
        log: (event, { hostnqn, subnqn, reason }) => {
          if (event !== "host-connected" && event !== "host-refused") return;
          // Strangers cause both: whoever likes may connect to ask what there is.
          if (!rates[event].admits(performance.now())) return;
          log(event, { host: words(hostnqn), subsystem: words(subnqn), reason: words(reason) });
        },
      });
    }
    const { device, overlay } = await this.#open(wish);
    const { attr_serial: serial, attr_model: model, attr_firmware: firmware } = wish.strings;
    try {
      this.#running.target.addSubsystem({
        nqn: wish.nqn,
        serial,
        model,
        firmware,
        hosts: hostsOf(wish),
        namespaces: [{ nsid: 1, device, uuid: wish.uuid, nguid: wish.nguid.replaceAll("-", "") }],
      });
    } catch (error) {
      await device[Symbol.asyncDispose]();
      throw error;
    }
    this.#served.set(wish.nqn, { wish, key: keyOf(wish), device, overlay });
  }

  async #open(wish: SoftExport): Promise<Pick<Served, "device" | "overlay">> {
    const { OverlayDisk } = await import("../block/index.ts");
    const path = join(this.#options.root, "dev", wish.disk);
    const disk = await (this.#options.openDisk ?? openPastCache)(path);
    if (disk.sizeBytes !== wish.sizeBytes) {
      await disk[Symbol.asyncDispose]();
      const facts = { path, found: disk.sizeBytes, wanted: wish.sizeBytes };
      throw new ApplianceError("disk", `${path} has another size than it was found with.`, facts);
    }
    if (wish.mode === "ro") return { device: disk, overlay: null };
    const overlay = new OverlayDisk({ below: disk, bytesMax: overlayMax(wish) });
    return { device: overlay, overlay };
  }

  async #end(nqn: string): Promise<void> {
    const served = this.#served.get(nqn);
    this.#served.delete(nqn);
    this.#running?.target.removeSubsystem(nqn);
    await served?.device[Symbol.asyncDispose]();
  }

  /** Listens with the keys of all hosts; connections that are open stay when those change. */
  async #listen(wishes: readonly SoftExport[]): Promise<void> {
    const keys = wishes.flatMap(({ nqn, hosts }) =>
      hosts === "any"
        ? []
        : [...hosts].map(([hostnqn, { tlsPsk }]) => ({ key: tlsPsk, hostnqn, subnqn: nqn })),
    );
    const listening = JSON.stringify(keys);
    if (this.#running === null || listening === this.#listening) return;
    for (const listener of this.#listeners) await listener[Symbol.asyncDispose]();
    this.#listeners = [];
    this.#listening = "";
    const listeners: TargetListener[] = [];
    try {
      for (const host of this.#options.ipv6 ? ["0.0.0.0", "::"] : ["0.0.0.0"]) {
        const tls = { policy: "optional", keys } as const;
        const plain = { host, port: this.#options.port, ipv6Only: true };
        listeners.push(await this.#running.listen(keys.length === 0 ? plain : { ...plain, tls }));
      }
    } catch (error) {
      for (const listener of listeners) await listener[Symbol.asyncDispose]();
      throw error;
    }
    this.#listeners = listeners;
    this.#listening = listening;
  }
}

/**
 * Hosts have written to the disk past the page cache, by the kernel's target, which keeps it open: the
 * cache would still hold what was there when somebody looked before.
 */
async function openPastCache(path: string): Promise<BlockDevice> {
  return await (await import("./driver-hashing.ts")).openPastCache(path);
}

/** A grant always says how much; an overlay without one holds nothing. */
function overlayMax({ overlayBytes }: SoftExport): number {
  return overlayBytes ?? 0;
}

function hostsOf({ hosts, mode }: SoftExport) {
  if (hosts === "any") return "any" as const;
  return new Map(
    [...hosts].map(([hostnqn, { host, controller }]) => {
      const access = { secret: host, controllerSecret: controller, readOnly: mode === "ro" };
      return [hostnqn, access] as const;
    }),
  );
}

/** What makes an export another one: all but the keys' order. */
function keyOf(wish: SoftExport): string {
  const hosts = wish.hosts === "any" ? "any" : [...wish.hosts];
  return JSON.stringify({ ...wish, hosts });
}

function words(value: unknown): string | null {
  return value === undefined || value === null ? null : String(value);
}
