/** What `run` and `boot` are asked to do, and what they know of a box before they do it. */

import type { Home, Place } from "../box/index.ts";
import type { DiskView } from "../rpc/index.ts";
import type { ExitCode } from "./exit.ts";
import type { Condition } from "./run-condition.ts";
import type { ConsoleSource } from "./run-console.ts";
import type { RunVoice } from "./run-voice.ts";

/** What is to be done, as it was read. */
export interface RunRequest {
  readonly box: string;
  readonly disk: string | undefined;
  readonly condition: Condition;
  /** Where the text of a condition comes from, and what is shown when a run ends without it. */
  readonly console: ConsoleSource | null;
  readonly address: string | undefined;
  readonly timeoutMs: number;
  /** Resets the machine. */
  readonly powerCommand: string | undefined;
  readonly exec: string | undefined;
  /** The box starts the disk's kernel itself. */
  readonly isKexec: boolean;
  /** The entry is put at the end of the boot order for the run. */
  readonly isAppended: boolean;
  /** The machine is switched on first. */
  readonly isWoken: boolean;
  readonly noReturn: boolean;
  readonly isForced: boolean;
  readonly isJson: boolean;
  readonly voice: RunVoice;
}

/** A box that was looked at, and the disk of it that was chosen. */
export interface Found {
  readonly request: RunRequest;
  readonly home: Home;
  readonly place: Place;
  readonly disk: ChosenDisk;
  /** The box's other disks, with what lies on them. */
  readonly others: readonly DiskView[];
}

/**
 * A disk by what it stays known by while it is written over and others come and go: the NQN under
 * which the box exports it, which follows from its identity.
 */
export interface ChosenDisk {
  readonly nqn: string;
  readonly name: string;
  readonly serial: string;
  readonly sizeBytes: number;
  /** It is known by its place alone: whatever is plugged in there would be taken for it. */
  readonly isWeak: boolean;
}

/** How the image gets to the disks. */
export interface ImageWrite {
  /** Null for what is no file. */
  readonly path: string | null;
  write(found: readonly Found[]): Promise<ExitCode>;
}

/** How long each part took, in seconds. */
export type Times = Record<string, number>;
