/** How a box in this process boots one of its disks: it goes, and comes back or not. */

import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Handlers, RunReport } from "../src/rpc/index.ts";

const at = "2026-11-23T12:00:00.000Z";
const answerMs = 100;
const awayMs = 1500;

/** What becomes of it; unless told, it comes back with an empty report. */
export interface FakeBoots {
  /** Whether any reset leads back to the box. */
  readonly comeback?: boolean;
  /** It stays away, until there is a file at this path if one is named. */
  readonly isLost?: boolean | string;
  readonly report?: Partial<RunReport>;
  /** Why it starts no kernel itself; `null` unless told, and "older" for a box that knows nothing of it. */
  readonly kexecObstacle?: string | null;
  /** Disks with the same image. */
  readonly twins?: readonly string[];
  /** What it would not start, if it starts a kernel itself. */
  readonly passedOver?: string;
}

/** The time in which nobody answers at the box's port. */
export class FakeAbsence {
  isAway = false;
  readonly #sockets: ReadonlySet<Socket>;
  readonly #boots: FakeBoots;

  /** @param sockets connections to the box; they end with it */
  constructor(sockets: ReadonlySet<Socket>, boots: FakeBoots) {
    this.#sockets = sockets;
    this.#boots = boots;
  }

  /** Goes after its answer. */
  async leave(): Promise<void> {
    await sleep(answerMs);
    this.isAway = true;
    for (const socket of this.#sockets) socket.destroy();
    await sleep(awayMs);
    const { isLost = false } = this.#boots;
    if (typeof isLost === "string") while (!existsSync(isLost)) await sleep(answerMs);
    this.isAway = isLost === true;
  }
}

/** The methods by which it does so. */
export function bootHandlers(
  boots: FakeBoots,
  leave: () => void,
): Pick<Handlers, "bootOnce" | "bootState"> {
  const comeback = { certain: boots.comeback ?? true, text: "this is what the test says" };
  let lastRun: RunReport | null = null;
  const rest = { secureBoot: false, firmwareMs: 3000, loaderMs: null, underTest: null };
  return {
    bootState: async () => {
      const { kexecObstacle = null } = boots;
      const told = kexecObstacle === "older" ? {} : { kexecObstacle };
      return { comeback, ...rest, ...told, lastRun };
    },
    bootOnce: async ({ disk, run, kexec, appendEntry }) => {
      lastRun = {
        run,
        disk,
        startedAt: at,
        returnedAt: at,
        boots: kexec ? 1 : 2,
        orderIgnored: false,
        bootOrder: { outcome: "same", wanted: ["0001"], found: ["0001"] },
        crashes: [],
        problems: appendEntry ? ["The entry was the last of the order."] : [],
        kexec,
        ...boots.report,
      };
      leave();
      const path = "\\EFI\\BOOT\\BOOTX64.EFI";
      const prepared = { entry: kexec ? null : "0007", path, partUuid: randomUUID(), comeback };
      const { passedOver = null, twins = [] } = boots;
      const loaded = { passedOver, commandLine: "quiet", kernelBytes: 1000, initrdBytes: 2000 };
      return kexec ? { ...prepared, kexec: loaded } : { ...prepared, twins: [...twins] };
    },
  };
}
