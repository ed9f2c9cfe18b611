/** How a box in this process boots one of its disks: it goes, and comes back or not. */

import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type DiskView,
  type GrantView,
  type Handlers,
  RpcError,
  type RunReport,
} from "../src/rpc/index.ts";

const at = "2026-11-23T12:00:00.000Z";
const answerMs = 100;
const awayMs = 1500;

/** Another host's grant of the first disk. */
export const intruder: GrantView = {
  grant: "g9",
  hostnqn: "nqn.2014-08.org.nvmexpress:other",
  mode: "rw",
  disks: ["nvme0n1"],
  purpose: "flash by eve on laptop",
  since: "2026-11-23T12:00:00.000Z",
  expiresAt: null,
  overlay: null,
};

/** What becomes of it; unless told, it comes back with an empty report. */
export interface FakeBoots {
  /** Whether any reset leads back to the box. */
  readonly comeback?: boolean;
  /** It stays away, until there is a file at this path if one is named. */
  readonly isLost?: boolean | string;
  readonly report?: Partial<RunReport>;
  /** What it tells of a run before any that is asked for. */
  readonly lastRun?: Partial<RunReport>;
  /** It is off until there is a file at this path. */
  readonly isOff?: string;
  /** It refuses to be booted again. */
  readonly isStuck?: boolean;
  /** It takes the order to boot, and neither answers nor goes. */
  readonly isMute?: boolean;
  /** Called as soon as it is told to boot, and after any other call. */
  readonly onCall?: (method: string) => void;
  /** What lies on its disks, by serial number. */
  readonly contents?: Readonly<Record<string, DiskView["contents"]>>;
  /** Why it starts no kernel itself; `null` unless told, and "older" for a box that knows nothing of it. */
  readonly kexecObstacle?: string | null;
  /** Disks with the same image. */
  readonly twins?: readonly string[];
  /** What it would not start, if it starts a kernel itself. */
  readonly passedOver?: string;
}

/** The time in which nobody answers at the box's port. */
export class FakeAbsence {
  #isAway = false;
  readonly #sockets: ReadonlySet<Socket>;
  readonly #boots: FakeBoots;

  /** @param sockets connections to the box; they end with it */
  constructor(sockets: ReadonlySet<Socket>, boots: FakeBoots) {
    this.#sockets = sockets;
    this.#boots = boots;
  }

  get isAway(): boolean {
    const { isOff } = this.#boots;
    return this.#isAway || (isOff !== undefined && !existsSync(isOff));
  }

  /** Goes after its answer. */
  async leave(): Promise<void> {
    await sleep(answerMs);
    this.#isAway = true;
    for (const socket of this.#sockets) socket.destroy();
    await sleep(awayMs);
    const { isLost = false } = this.#boots;
    if (typeof isLost === "string") while (!existsSync(isLost)) await sleep(answerMs);
    this.#isAway = isLost === true;
  }
}

const emptyReport: RunReport = {
  run: "earlier-run",
  disk: "nvme0n1",
  startedAt: at,
  returnedAt: "2026-11-23T12:01:15.000Z",
  boots: 2,
  orderIgnored: false,
  bootOrder: { outcome: "same", wanted: ["0001"], found: ["0001"] },
  crashes: [],
  problems: [],
};

/** The methods by which it does so. */
export function bootHandlers(
  boots: FakeBoots,
  leave: () => void,
): Pick<Handlers, "bootOnce" | "bootState" | "reboot"> {
  const comeback = { certain: boots.comeback ?? true, text: "this is what the test says" };
  let lastRun: RunReport | null = boots.lastRun ? { ...emptyReport, ...boots.lastRun } : null;
  const rest = { secureBoot: false, firmwareMs: 3000, loaderMs: null, underTest: null };
  return {
    reboot: async () => {
      if (boots.isStuck) throw new RpcError("failed", "Cannot reboot: this box does not go.");
      return {};
    },
    bootState: async () => {
      const { kexecObstacle = null } = boots;
      const told = kexecObstacle === "older" ? {} : { kexecObstacle };
      return { comeback, ...rest, ...told, lastRun };
    },
    bootOnce: async ({ disk, run, kexec, appendEntry }) => {
      boots.onCall?.("bootOnce");
      if (boots.isMute) return await new Promise<never>(() => {});
      const problems = appendEntry ? ["The entry was the last of the order."] : [];
      const about = { run, disk, boots: kexec ? 1 : 2, problems, kexec };
      lastRun = { ...emptyReport, ...about, ...boots.report };
      leave();
      const path = "\\EFI\\BOOT\\BOOTX64.EFI";
      const prepared = { entry: kexec ? null : "0007", path, partUuid: randomUUID(), comeback };
      const { passedOver = null, twins = [] } = boots;
      const loaded = { passedOver, commandLine: "quiet", kernelBytes: 1000, initrdBytes: 2000 };
      return kexec ? { ...prepared, kexec: loaded } : { ...prepared, twins: [...twins] };
    },
  };
}
