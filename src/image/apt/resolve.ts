/**
 * From wanted names to the packages that an image is made of.
 *
 * Follows Depends and Pre-Depends, never Recommends; Essential packages are not implied. Of each
 * name only one version is looked at: a local one, else the latest. Groups that leave no choice
 * are settled first, so that alternatives see as much as possible of what is in anyway.
 */
import { type PackageIndex, type PackageRecord, providedBy } from "./packages.ts";
import {
  parseRelations,
  type Relation,
  type RelationGroup,
  showGroup,
  versionMatches,
} from "./relation.ts";
import {
  type Problem,
  problemsError,
  type Resolution,
  type ResolvedPackage,
} from "./resolution.ts";
import { versionSatisfies } from "./version.ts";

/** What to resolve, against what. */
export interface ResolveRequest {
  /** Name of the appliance: the root of the chains in messages. */
  readonly appliance: string;
  readonly architecture: string;
  readonly index: PackageIndex;
  /** Packages that win over those of the index, whatever their version. */
  readonly local?: PackageIndex;
  readonly wanted: readonly string[];
  /**
   * Dependencies to leave out, with the reason. Choices are made as if nothing was excluded, and
   * then left out; an exclusion never brings another package in.
   */
  readonly excludeDependencies: Readonly<Record<string, string>>;
}

/**
 * Resolves; the same request gives the same packages, in whatever order names are wanted.
 * @throws ImageError `unsatisfied` that lists every dependency without a package, with the chain
 * that led to it, and every pair of packages that cannot be together; `definition` when only the
 * exclusions are wrong: one that nothing asks for, or that is wanted as well.
 */
export function resolvePackages(request: ResolveRequest): Resolution {
  const search = createSearch(request);
  for (const name of [...new Set(request.wanted)].sort()) {
    addWanted(search, name);
  }
  for (;;) {
    const next = search.plain.shift() ?? search.open.shift();
    if (next === undefined) {
      break;
    }
    settle(search, next);
  }
  const packages = [...search.chosen.values()].sort((a, b) =>
    a.record.name < b.record.name ? -1 : 1,
  );
  findConflicts(search, packages);
  findIdleExclusions(search);
  if (search.problems.length > 0) {
    throw problemsError(request.appliance, search.problems);
  }
  const leftOut = [...search.askedFor].map(([name, askedBy]) => ({
    name,
    reason: request.excludeDependencies[name] ?? "",
    askedBy: [...askedBy].sort(),
  }));
  return { packages, leftOut: leftOut.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** A dependency that waits for a decision. */
interface Pending {
  readonly by: string;
  readonly group: RelationGroup;
}

interface Search {
  readonly request: ResolveRequest;
  readonly chosen: Map<string, ResolvedPackage>;
  /** Provided name → chosen packages that provide it. */
  readonly chosenProviders: Map<string, PackageRecord[]>;
  /** Dependencies that leave no choice, and those that do. */
  readonly plain: Pending[];
  readonly open: Pending[];
  /** Excluded name → packages that ask for it. */
  readonly askedFor: Map<string, Set<string>>;
  readonly problems: Problem[];
  candidate(name: string): PackageRecord | undefined;
}

function createSearch(request: ResolveRequest): Search {
  const candidates = new Map<string, PackageRecord | undefined>();
  return {
    request,
    chosen: new Map(),
    chosenProviders: new Map(),
    plain: [],
    open: [],
    askedFor: new Map(),
    problems: [],
    candidate(name) {
      if (!candidates.has(name)) {
        candidates.set(name, request.local?.named(name)[0] ?? request.index.named(name)[0]);
      }
      return candidates.get(name);
    },
  };
}

function addWanted(search: Search, name: string): void {
  if (isExcluded(search, name)) {
    search.problems.push({ kind: "wanted-and-excluded", name });
    return;
  }
  const record = search.candidate(name);
  if (record === undefined) {
    const found = providersOf(search, { name }).map((provider) => provider.name);
    search.problems.push({ kind: "unknown", name, providers: found });
    return;
  }
  choose(search, record, { kind: "wanted" });
}

function choose(search: Search, record: PackageRecord, reason: ResolvedPackage["reason"]): void {
  search.chosen.set(record.name, { record, reason });
  for (const { name } of providedBy(record)) {
    const providers = search.chosenProviders.get(name) ?? [];
    search.chosenProviders.set(name, [...providers, record]);
  }
  for (const field of [record.preDepends, record.depends]) {
    for (const group of parseRelations(field, search.request.architecture)) {
      const [only] = group;
      const isPlain = group.length === 1 && realCandidate(search, only!) !== undefined;
      (isPlain ? search.plain : search.open).push({ by: record.name, group });
    }
  }
}

/** Decides one dependency: it is met, left out, met by a further package, or a problem. */
function settle(search: Search, { by, group }: Pending): void {
  for (const { name } of group) {
    noteExcluded(search, name, by);
  }
  if (group.some((relation) => chosenFor(search, relation).length > 0)) {
    return;
  }
  for (const relation of group) {
    if (isExcluded(search, relation.name)) {
      return;
    }
    const record = realCandidate(search, relation) ?? providersOf(search, relation)[0];
    if (record !== undefined) {
      noteExcluded(search, record.name, by);
      if (!isExcluded(search, record.name)) {
        choose(search, record, { kind: "dependency", of: by, relation: showGroup(group) });
      }
      return;
    }
  }
  search.problems.push({
    kind: "unsatisfied",
    chain: [...chainTo(search, by), showGroup(group)],
    found: group.flatMap(({ name }) => {
      const record = search.candidate(name);
      return record === undefined ? [] : [`${name} ${record.version}`];
    }),
  });
}

function isExcluded(search: Search, name: string): boolean {
  return Object.hasOwn(search.request.excludeDependencies, name);
}

function noteExcluded(search: Search, name: string, by: string): void {
  if (isExcluded(search, name)) {
    const askedBy = search.askedFor.get(name) ?? new Set();
    search.askedFor.set(name, askedBy.add(by));
  }
}

/** The package of that very name, if its version will do. */
function realCandidate(search: Search, relation: Relation): PackageRecord | undefined {
  const record = search.candidate(relation.name);
  return record !== undefined && satisfies(search, record, relation) ? record : undefined;
}

/** Packages that provide what a relation names: the more basic first, then by name. */
function providersOf(search: Search, relation: Relation): PackageRecord[] {
  const { local, index } = search.request;
  const { name } = relation;
  return [...(local?.providersOf(name) ?? []), ...index.providersOf(name)]
    .filter((record) => isSame(search.candidate(record.name), record))
    .filter((record) => satisfies(search, record, relation))
    .sort((a, b) => priorityRank(a) - priorityRank(b) || (a.name < b.name ? -1 : 1));
}

/** Whether two records are one package: indices make records anew. */
function isSame(a: PackageRecord | undefined, b: PackageRecord): boolean {
  return a !== undefined && a.sha256 === b.sha256 && a.name === b.name;
}

function priorityRank(record: PackageRecord): number {
  const rank = ["required", "important", "standard", "optional"].indexOf(record.priority);
  return rank < 0 ? 4 : rank;
}

/** Chosen packages that meet a relation, by name or by what they provide. */
function chosenFor(search: Search, relation: Relation): PackageRecord[] {
  const real = search.chosen.get(relation.name);
  const providers = search.chosenProviders.get(relation.name) ?? [];
  return [...(real === undefined ? [] : [real.record]), ...providers].filter((record) =>
    satisfies(search, record, relation),
  );
}

/** An unversioned `Provides` never meets a versioned relation (Debian policy, section 7.5). */
function satisfies(search: Search, record: PackageRecord, relation: Relation): boolean {
  const { name, qualifier, constraint } = relation;
  if (![undefined, "any", "native", search.request.architecture].includes(qualifier)) {
    return false;
  }
  if (record.name === name && versionMatches(relation, record.version)) {
    return true;
  }
  return providedBy(record).some(
    (provided) =>
      provided.name === name &&
      (constraint === undefined ||
        (provided.constraint !== undefined &&
          versionSatisfies(provided.constraint.version, constraint.operator, constraint.version))),
  );
}

/** `diskomator`, the wanted package, and so on down to `name`. */
function chainTo(search: Search, name: string): string[] {
  const chain = [name];
  let reason = search.chosen.get(name)?.reason;
  while (reason?.kind === "dependency") {
    chain.unshift(reason.of);
    reason = search.chosen.get(reason.of)?.reason;
  }
  return [search.request.appliance, ...chain];
}

function findConflicts(search: Search, packages: readonly ResolvedPackage[]): void {
  for (const { record } of packages) {
    for (const field of ["conflicts", "breaks"] as const) {
      for (const relation of parseRelations(record[field], search.request.architecture).flat()) {
        const others = chosenFor(search, relation).filter(({ name }) => name !== record.name);
        for (const other of others) {
          search.problems.push({
            kind: "conflict",
            verb: field === "conflicts" ? "conflicts with" : "breaks",
            chain: chainTo(search, record.name),
            relation: showGroup([relation]),
            other: `${other.name} ${other.version}`,
            otherChain: chainTo(search, other.name),
          });
        }
      }
    }
  }
}

/** Only once all else is well: behind a missing package there may be one that asks for it. */
function findIdleExclusions(search: Search): void {
  if (search.problems.some(({ kind }) => kind === "unsatisfied" || kind === "unknown")) {
    return;
  }
  for (const name of Object.keys(search.request.excludeDependencies).sort()) {
    if (!search.askedFor.has(name) && !search.request.wanted.includes(name)) {
      search.problems.push({ kind: "idle-exclusion", name });
    }
  }
}
