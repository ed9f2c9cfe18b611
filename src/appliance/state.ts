/** The one state that the screen shows and `/run/diskomator/state.json` holds. */
import type { AccessMode, GrantMode } from "../rpc/index.ts";
import type { Disk } from "./inventory.ts";
import type { Address } from "./network.ts";
import type { Reason } from "./policy.ts";

/** What the box does with a disk. */
export type DiskState =
  | {
      readonly kind: "exported";
      readonly nqn: string;
      readonly uuid: string;
      /** ISO 8601. */
      readonly since: string;
      /** From the kernel's announcement to the export; null when adopted from an earlier run. */
      readonly tookMs: number | null;
    }
  | { readonly kind: "not exported"; readonly reason: Reason }
  | { readonly kind: "failing"; readonly error: string };

/** A disk with its state. */
export interface DiskRow {
  readonly disk: Disk;
  readonly state: DiskState;
}

/** A grant as people see it; never a secret. */
export interface GrantRow {
  readonly id: string;
  readonly hostnqn: string;
  /** Kernel names of its disks, as far as they are there. */
  readonly disks: readonly string[];
  readonly mode: GrantMode;
  readonly purpose: string;
  readonly since: string;
  readonly expiresAt: string | null;
}

/** Everything that there is to say about a box. */
export interface State {
  readonly format: 1;
  /** Eight hex digits that name the machine. */
  readonly box: string;
  /** Two words, and three. */
  readonly name: string;
  readonly fullName: string;
  readonly version: string;
  /** Who may connect; `open` is everyone on the network, reading and writing. */
  readonly access: AccessMode;
  /** No disk is opened for writing. */
  readonly readOnly: boolean;
  readonly grants: readonly GrantRow[];
  /** What somebody in front of the box should see first. */
  readonly notice: string | null;
  readonly servicePort: number;
  readonly addresses: readonly Address[];
  readonly disks: readonly DiskRow[];
  /** What is known of the medium that the box booted from, in one sentence. */
  readonly bootMedium: string;
  /** What is wrong, one sentence each. */
  readonly problems: readonly string[];
  /** What the kernel last said about the target, newest last. */
  readonly kernelMessages: readonly string[];
  /** When the daemon and the machine started, ISO 8601. */
  readonly startedAt: string;
  readonly bootedAt: string;
}

/** What must be remembered of an export so that a later run of the daemon can adopt it. */
export interface ExportMemory {
  readonly name: string;
  readonly diskSequence: number | null;
  readonly sizeBytes: number;
  readonly since: string;
  readonly tookMs: number | null;
}

/**
 * Exports by NQN out of a state file that an earlier run has left.
 * Whatever cannot be understood is left out: such a disk is exported as if it were new.
 */
export function rememberExports(json: string): Map<string, ExportMemory> {
  const exports = new Map<string, ExportMemory>();
  for (const row of rowsOf(json)) {
    const disk = property(row, "disk");
    const state = property(row, "state");
    const nqn = property(state, "nqn");
    const name = property(disk, "name");
    const diskSequence = property(disk, "diskSequence");
    const sizeBytes = property(disk, "sizeBytes");
    const since = property(state, "since");
    if (
      typeof nqn === "string" &&
      typeof name === "string" &&
      typeof sizeBytes === "number" &&
      typeof since === "string" &&
      (typeof diskSequence === "number" || diskSequence === null)
    ) {
      const tookMs = property(state, "tookMs");
      const took = typeof tookMs === "number" ? tookMs : null;
      exports.set(nqn, { name, diskSequence, sizeBytes, since, tookMs: took });
    }
  }
  return exports;
}

function rowsOf(json: string): readonly unknown[] {
  try {
    const rows = property(JSON.parse(json), "disks");
    return Array.isArray(rows) ? rows : [];
  } catch {
    return [];
  }
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}
