/** What differs between two lock files, as data and as lines for people. */
import type { Lock, LockedNpmPackage, LockedPackage } from "../lock.ts";
import { maintainerScripts } from "./lockfile.ts";
import { compareVersions } from "./version.ts";

/** A package that is in both locks, and not the same. */
export interface ChangedPackage {
  readonly name: string;
  readonly fromVersion: string;
  /** Equal to `fromVersion` when only the contents differ: a rebuilt local package. */
  readonly toVersion: string;
}

/** A maintainer script that differs: someone should look whether our own finishing still fits. */
export interface ChangedScript {
  readonly package: string;
  readonly script: string;
  readonly change: "added" | "removed" | "changed";
}

/** The way from one lock to another; all lists in the order of names. */
export interface LockChanges {
  readonly added: readonly LockedPackage[];
  readonly removed: readonly LockedPackage[];
  readonly changed: readonly ChangedPackage[];
  /** Of packages that are in both locks. */
  readonly scripts: readonly ChangedScript[];
  readonly npmAdded: readonly LockedNpmPackage[];
  readonly npmRemoved: readonly LockedNpmPackage[];
  readonly npmChanged: readonly ChangedPackage[];
}

/** Compares two locks. */
export function compareLocks(from: Lock, to: Lock): LockChanges {
  const packages = pair(from.packages, to.packages);
  const npm = pair(from.npm, to.npm);
  return {
    added: packages.added,
    removed: packages.removed,
    changed: packages.both.filter(([a, b]) => a.sha256 !== b.sha256).map(changeOf),
    scripts: packages.both.flatMap(([a, b]) => changedScripts(a, b)),
    npmAdded: npm.added,
    npmRemoved: npm.removed,
    npmChanged: npm.both.filter(([a, b]) => a.integrity !== b.integrity).map(changeOf),
  };
}

/**
 * One line for each change, scripts last, those of new packages among them unless they are known;
 * none when the locks hold the same.
 * @param reviewed what is known of packages' scripts: what they did before the change.
 */
export function formatLockChanges(
  changes: LockChanges,
  reviewed: Readonly<Record<string, string>> = {},
): string[] {
  const known = (name: string) =>
    Object.hasOwn(reviewed, name) ? `; so far: ${reviewed[name]}` : "";
  const show = ({ name, version }: { name: string; version: string }) => `${name} ${version}`;
  return [
    ...changes.added.map((entry) => `added    ${show(entry)}`),
    ...changes.removed.map((entry) => `removed  ${show(entry)}`),
    ...changes.changed.map(showChange),
    ...changes.npmAdded.map((entry) => `added    npm ${show(entry)}`),
    ...changes.npmRemoved.map((entry) => `removed  npm ${show(entry)}`),
    ...changes.npmChanged.map((change) => showChange({ ...change, name: `npm ${change.name}` })),
    ...changes.scripts.map(
      (entry) =>
        `review   ${entry.package}: the script ${entry.script} was ${entry.change}` +
        known(entry.package),
    ),
    ...changes.added.flatMap(({ name, scripts }) => {
      // Nearly every library has triggers, which only ask for ldconfig.
      const found = maintainerScripts.filter((script) => script !== "triggers" && scripts[script]);
      return found.length === 0 || Object.hasOwn(reviewed, name)
        ? []
        : [`review   ${name}: is new, and has ${found.join(", ")}, and no script is run`];
    }),
  ];
}

function showChange({ name, fromVersion, toVersion }: ChangedPackage): string {
  const order = compareVersions(fromVersion, toVersion);
  if (order === 0) {
    return `rebuilt  ${name} ${toVersion}`;
  }
  return `${order < 0 ? "newer  " : "older  "}  ${name} ${fromVersion} → ${toVersion}`;
}

function changeOf([from, to]: readonly [
  { readonly name: string; readonly version: string },
  { readonly version: string },
]): ChangedPackage {
  return { name: from.name, fromVersion: from.version, toVersion: to.version };
}

function changedScripts(from: LockedPackage, to: LockedPackage): ChangedScript[] {
  return maintainerScripts.flatMap((script) => {
    const a = from.scripts[script];
    const b = to.scripts[script];
    if (a === b) {
      return [];
    }
    const change = a === undefined ? "added" : b === undefined ? "removed" : "changed";
    return [{ package: from.name, script, change }];
  });
}

function pair<T extends { readonly name: string }>(from: readonly T[], to: readonly T[]) {
  const fromByName = new Map(from.map((item) => [item.name, item]));
  const toByName = new Map(to.map((item) => [item.name, item]));
  return {
    added: to.filter(({ name }) => !fromByName.has(name)),
    removed: from.filter(({ name }) => !toByName.has(name)),
    both: from.flatMap((item): (readonly [T, T])[] => {
      const other = toByName.get(item.name);
      return other === undefined ? [] : [[item, other]];
    }),
  };
}
