/** What the daemon asks of the machine: everything that it does not decide by itself. */
import type { ConfigfsCalls } from "./apply.ts";
import type { BootClues, BootMemory } from "./boot-medium.ts";
import type { ParsedConfig } from "./config.ts";
import type { ChoiceMemory, DiskChoices } from "./disk-choices.ts";
import type { BlockFacts } from "./facts.ts";
import type { SoftExport } from "./grant-exports.ts";
import type { GrantMemory, Grants } from "./grants.ts";
import type { BoxName } from "./identity.ts";
import type { Log } from "./log.ts";
import type { Found, WantedPort } from "./nvmet.ts";
import type { ExportMemory, State } from "./state.ts";

/** The kernel's target. */
interface TargetAccess {
  /** Makes it usable; rejects with an ApplianceError when that is impossible. */
  prepare(): Promise<void>;
  read(): Found;
  /** `found` with its ports and the named subsystems read again. */
  refresh(found: Found, nqns: ReadonlySet<string>): Found;
  readonly calls: ConfigfsCalls;
}

/** The project's own target, for what the kernel's cannot serve. */
interface SoftTargetAccess {
  /** Serves exactly these; NQN → what failed. */
  settle(wishes: readonly SoftExport[]): Promise<ReadonlyMap<string, string>>;
  readonly served: ReadonlySet<string>;
}

/** The machine, as the daemon sees it. */
export interface World {
  /** Kernel names of all block devices that are no partitions. */
  listDisks(): readonly string[];
  readFacts(name: string): BlockFacts | null;
  readonly target: TargetAccess;
  readonly softTarget: SoftTargetAccess;
  /** Gives the kernel exactly these keys, by identity; rejects with an ApplianceError. */
  setTlsKeys(keys: ReadonlyMap<string, Uint8Array>): Promise<void>;
  saveGrants(memory: GrantMemory): void;
  saveChoices(memory: ChoiceMemory): void;
  /** Shows a state that differs from the last one. */
  publish(state: State): void;
  saveBootMemory(memory: BootMemory): void;
  /** Makes the locked disks those of the map (kernel name → disk sequence). */
  lockDisks(disks: ReadonlyMap<string, number | null>): void;
  kernelMessages(): readonly string[];
  /** The kernel's monotonic clock, which began when the machine did. */
  monotonicMs(): number;
  now(): Date;
  readonly log: Log;
}

/** What is fixed while the daemon runs. */
export interface DaemonSetup {
  readonly version: string;
  readonly box: string;
  readonly name: BoxName;
  /** Whether the kernel can be helped to TLS. */
  readonly tls: boolean;
  /** Changed by others; `settle` makes it hold. */
  readonly grants: Grants;
  /** What somebody has decided about single disks; `settle` makes it hold. */
  readonly choices: DiskChoices;
  readonly configuration: ParsedConfig;
  readonly ports: readonly WantedPort[];
  readonly bootClues: BootClues;
  readonly hasEfiVariables: boolean;
  /** Left by an earlier run since this machine booted. */
  readonly bootMemory: BootMemory;
  readonly exports: ReadonlyMap<string, ExportMemory>;
}
