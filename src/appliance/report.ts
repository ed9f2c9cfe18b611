/** From a judgement and what configfs holds afterwards to what the state says of each disk. */

import type { GroupResult } from "./apply.ts";
import type { BootClues, BootMemory } from "./boot-medium.ts";
import type { Grant } from "./grants.ts";
import type { HeldNames } from "./identity.ts";
import type { Found, Step } from "./nvmet.ts";
import type { DiskRow, DiskState, ExportMemory, GrantRow } from "./state.ts";
import type { Judged } from "./stock.ts";

/** NQNs that a host can reach: enabled, and linked to a port at least. */
export function servedNqns(found: Found): ReadonlySet<string> {
  const linked = new Set(found.ports.flatMap(({ links }) => links));
  const enabled = found.subsystems.filter(({ namespaces }) =>
    namespaces.some(({ nsid, enabled }) => nsid === 1 && enabled),
  );
  return new Set(enabled.map(({ nqn }) => nqn).filter((nqn) => linked.has(nqn)));
}

/**
 * Kernel name → NQNs of what is exported now: a disk has one of its own, and one for each host that it
 * is granted to.
 * @param soft those that the project's own target serves
 */
export function heldNames(
  found: Found | null,
  soft: ReadonlySet<string>,
  exports: ReadonlyMap<string, ExportMemory>,
): HeldNames {
  const held = new Map<string, Set<string>>();
  const hold = (name: string, nqn: string): void => {
    held.set(name, (held.get(name) ?? new Set()).add(nqn));
  };
  for (const { nqn, namespaces } of found?.subsystems ?? []) {
    const path = namespaces.find(({ nsid }) => nsid === 1)?.attributes.device_path ?? "";
    if (path.startsWith("/dev/")) hold(path.slice("/dev/".length), nqn);
  }
  for (const nqn of soft) {
    const name = exports.get(nqn)?.name;
    if (name !== undefined) hold(name, nqn);
  }
  return held;
}

/** One row per disk. `errors` holds what failed, by kernel name. */
export function reportDisks(
  disks: readonly Judged[],
  served: ReadonlySet<string>,
  exports: ReadonlyMap<string, ExportMemory>,
  errors: ReadonlyMap<string, string>,
): readonly DiskRow[] {
  return disks.map(({ disk, verdict }): DiskRow => {
    if (verdict.kind === "not exported") {
      return { disk, state: verdict };
    }
    const { nqn, uuid } = verdict.names;
    const error = errors.get(disk.name);
    const memory = exports.get(nqn);
    if (error === undefined && served.has(nqn) && memory !== undefined) {
      const { since, tookMs } = memory;
      return { disk, state: { kind: "exported", nqn, uuid, since, tookMs } };
    }
    return { disk, state: { kind: "failing", error: error ?? "no port could be opened for it" } };
  });
}

/** What the state says of grants. */
export function reportGrants(
  grants: readonly Grant[],
  disks: readonly DiskRow[],
): readonly GrantRow[] {
  const names = new Map(
    disks.flatMap(({ disk, state }) =>
      state.kind === "exported" ? [[state.nqn, disk.name] as const] : [],
    ),
  );
  return grants.map(({ id, hostnqn, nqns, mode, purpose, since, expiresAt }) => ({
    id,
    hostnqn,
    mode,
    purpose,
    since,
    expiresAt,
    disks: nqns.flatMap((nqn) => names.get(nqn) ?? []),
  }));
}

/** What the state says of the boot medium. */
export function describeBootMedium(
  clues: BootClues,
  memory: BootMemory,
  rows: readonly DiskRow[],
  hasEfiVariables: boolean,
): string {
  if (clues.partitionUuid === null) {
    return hasEfiVariables
      ? "none: the boot loader names no partition, as after a network boot"
      : "unknown: there are no EFI variables";
  }
  const isMedium = (state: DiskState): boolean =>
    state.kind === "not exported" && state.reason.code === "boot-medium";
  const present = rows.filter(({ state }) => isMedium(state)).map(({ disk }) => disk.name);
  if (present.length > 0) {
    if (present.length > 1) {
      return `one of ${present.join(", ")}`;
    }
    return memory.settled ? present[0]! : `probably ${present[0]}`;
  }
  return memory.settled ? "has been removed" : "not seen yet";
}

const errnoTexts: Readonly<Record<string, string>> = {
  EACCES: "the kernel refuses to write to it",
  EROFS: "it is read-only",
  EBUSY: "something else holds it",
  ENXIO: "it does not answer",
  EIO: "it does not answer",
  ENOMEDIUM: "there is no medium in it",
  ENODEV: "it has gone",
  ENOENT: "it has gone",
  EADDRINUSE: "something else listens on the port",
};

/** A failed step in words: what was done, to what, and what the kernel said. */
export function describeFailure({ failure }: GroupResult): string {
  if (failure === null) {
    return "";
  }
  const { step, error } = failure;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const text = errnoTexts[code];
  const said = code || (error instanceof Error ? error.message : String(error));
  return `${describeStep(step)}: ${text === undefined ? said : `${text} (${said})`}`;
}

function describeStep(step: Step): string {
  const name = step.path.split("/").slice(-1)[0]!;
  switch (step.do) {
    case "mkdir":
      return `cannot create ${step.path}`;
    case "rmdir":
      return `cannot remove ${step.path}`;
    case "link":
      if (step.path.startsWith("subsystems/")) return `cannot let ${name} in`;
      return `cannot serve it on ${step.path.split("/").slice(0, 2).join(" ")}`;
    case "unlink":
      return `cannot take it off ${step.path.split("/").slice(0, 2).join(" ")}`;
    case "write":
      if (name.startsWith("dhchap_")) return `cannot set ${name}`;
      return name === "enable" ? "cannot open the disk" : `cannot set ${name} to "${step.value}"`;
  }
}
