/** What a build is told, beside the definition. */

import type { MirrorOptions } from "../apt/index.ts";
import type { FetchProgress } from "../fetch/index.ts";
import type { Codec } from "../segment/index.ts";

/** When the lock file is made anew: never, always, or when a mirror dropped what it names. */
export type UpdateRule = "never" | "always" | "if-gone";

/**
 * `fast` is the default: it meets the budgets of time and of size. `small` takes 5 s of processor
 * time more for an image that is 10 MB smaller.
 */
export type Compression = "fast" | "small";

/**
 * How each kind of content is compressed. Most modules are `.ko.xz` already. Measured on all else
 * (level: seconds of processor time, MB): 1: 0.7, 81.0; 2: 0.9, 74.3; 3: 1.8, 70.2; 4: 2.5, 69.2;
 * 5: 3.1, 67.4; 9: 5.6, 63.9.
 */
export const codecsOf: Readonly<
  Record<Compression, Readonly<Record<"packages" | "node" | "modules" | "firmware", Codec>>>
> = {
  fast: {
    packages: { kind: "zstd", level: 2 },
    node: { kind: "zstd", level: 2 },
    modules: { kind: "store" },
    firmware: { kind: "zstd", level: 2 },
  },
  small: {
    packages: { kind: "zstd", level: 9 },
    node: { kind: "zstd", level: 9 },
    modules: { kind: "store" },
    firmware: { kind: "zstd", level: 9 },
  },
};

/** The phases that a build reports. */
export type BuildPhase = "resolve" | "fetch" | "segments" | "finish" | "assemble" | "write";

/** What happens during a build that a person may want to know. */
export type BuildEvent =
  | { readonly event: "phase"; readonly phase: BuildPhase }
  | ({ readonly event: "progress" } & FetchProgress)
  | { readonly event: "lock-moved"; readonly lines: readonly string[]; readonly because: string }
  | { readonly event: "note"; readonly code: string; readonly message: string };

/** Everything that a build is told. */
export interface BuildOptions {
  /** The module whose default export is the definition. */
  readonly definitionPath: string;
  readonly outDirectory: string;
  readonly cacheDirectory: string;
  readonly update: UpdateRule;
  readonly compression: Compression;
  readonly mirrors?: MirrorOptions;
  readonly ignoreValidUntil?: boolean;
  /** A root shell on the ninth console, as the original has it. */
  readonly debugShell?: boolean;
  /** Public keys, one line each, that may log in as root beside those of the definition. */
  readonly authorizedKeys?: readonly string[];
  /** In place of the definition's; see there. */
  readonly sshHostKey?: string;
  /** Further kernel parameters, after those of the definition: `diskomator.access=open`. */
  readonly kernelParameters?: readonly string[];
  /** How many threads work; as many as there are cores unless told. */
  readonly threads?: number;
  readonly now: Date;
  /** Milliseconds from any origin, for the times in the report. */
  readonly clock: () => number;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: BuildEvent) => void;
}
