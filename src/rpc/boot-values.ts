/** What the methods about booting a disk once take and give. */

import * as v from "valibot";
import { count, diskName, words } from "./values.ts";

/** Chosen by the caller, so that it knows its own run again when the box is back. */
const runId = v.pipe(v.string(), v.regex(/^[\w-]{8,64}$/, "Wanted: 8 to 64 letters and digits"));
const time = v.pipe(v.string(), v.isoTimestamp());
const nullableMs = v.nullable(v.number());

/** @see bootOnceResult */
export const bootOnceParams = v.strictObject({
  disk: diskName,
  run: runId,
  /** Boot it even if the box will not come back by itself. */
  noReturn: v.optional(v.boolean(), false),
  /** The box starts the kernel of the disk's unified kernel image itself, without the firmware. */
  kexec: v.optional(v.boolean(), false),
  /** Put the entry at the end of `BootOrder` for the run: some firmware drops those in no order. */
  appendEntry: v.optional(v.boolean(), false),
  /** What for, for the list of events. */
  purpose: v.optional(words(200), ""),
});

const comeback = v.object({ certain: v.boolean(), text: v.string() });

/** What was prepared, before the box goes. */
export const bootOnceResult = v.object({
  /** Number of the boot entry, four hex digits; null with `kexec`. */
  entry: v.nullable(v.string()),
  /** What will be loaded, as the firmware names files. */
  path: v.string(),
  partUuid: v.string(),
  /**
   * How the entry names the disk: by its full device path, or by the partition's GUID alone, wherever
   * its disk is; absent with `kexec`.
   */
  devicePath: v.optional(v.picklist(["full", "short"])),
  /** Disks with a partition of the same GUID: what finds its disk by that may find one of them. */
  twins: v.optional(v.array(v.string())),
  /** Whether any reset leads back to the box, and why. */
  comeback,
  /** What was loaded, with `kexec`. */
  kexec: v.optional(
    v.object({
      /** What firmware would load, and why it was not taken; null where it is `path`. */
      passedOver: v.nullable(v.string()),
      commandLine: v.string(),
      kernelBytes: count,
      initrdBytes: count,
    }),
  ),
});

/** What became of a disk that was booted once, as the box found it on its return. */
const runReport = v.object({
  run: v.string(),
  disk: v.string(),
  startedAt: time,
  /** When the box was back. */
  returnedAt: time,
  /**
   * How often the machine booted from then to now, the box included; null if nothing counts, or the
   * count was set back.
   */
  boots: v.nullable(count),
  /** The firmware did not do what it was told: the order was still there. */
  orderIgnored: v.boolean(),
  bootOrder: v.object({
    /** `kept`: it differs, and was left as it was found. */
    outcome: v.picklist(["same", "restored", "kept", "failed"]),
    wanted: v.array(v.string()),
    found: v.array(v.string()),
  }),
  /** What the kernel said last, of each crash since then. */
  crashes: v.array(v.object({ name: v.string(), text: v.string() })),
  /** What could not be set right, one sentence each. */
  problems: v.array(v.string()),
  /** The box started its kernel itself: `boots` is one less. */
  kexec: v.optional(v.boolean()),
  /** The boot entry was not there any more, or another one. */
  entryLost: v.optional(v.boolean()),
  /** As in `bootOnceParams`. */
  appendEntry: v.optional(v.boolean()),
  /** As in `bootOnceResult`. */
  devicePath: v.optional(v.picklist(["full", "short"])),
});
/** @see runReport */
export type RunReport = v.InferOutput<typeof runReport>;

/** Whether the disk was booted, by the machine's counter of boots; null where nothing tells. */
export function wasBooted(report: RunReport): boolean | null {
  const { boots, kexec = false, orderIgnored, crashes } = report;
  if (orderIgnored) return false;
  if (boots === null) return null;
  // The way back is a boot; whether the kernel was entered before, nothing counts.
  if (kexec) return boots === 0 ? false : null;
  if (boots > 1) return true;
  // Something crashed, and it may have been the box as it went.
  return crashes.length > 0 ? null : false;
}

/** What `bootState` gives. */
export const bootState = v.object({
  comeback,
  secureBoot: v.nullable(v.boolean()),
  /** Why `kexec` would be refused, null when it would not; absent on a box that does not know it. */
  kexecObstacle: v.optional(v.nullable(v.string())),
  /** How long firmware and loader took at this boot, as far as they tell. */
  firmwareMs: nullableMs,
  loaderMs: nullableMs,
  /** This box is itself what was to be booted once: the run of that id has not returned. */
  underTest: v.nullable(v.string()),
  lastRun: v.nullable(runReport),
});
/** @see bootState */
export type BootState = v.InferOutput<typeof bootState>;
