/** Which modules go into the image: from classes, names and globs to a closed set, with reasons. */

import type { ModuleClass } from "../definition.ts";
import { ImageError } from "../error.ts";
import { matcherOf } from "../unpack/index.ts";
import { type ClassRule, moduleClasses } from "./classes.ts";
import { moduleName, softdepNames } from "./modinfo.ts";
import type { KernelFiles, KernelModule } from "./modules.ts";

/** What is wanted, as in `KernelDefinition`. */
export interface ModuleChoice {
  readonly classes: readonly ModuleClass[];
  /** Names, or globs over paths; each must match. */
  readonly modules?: readonly string[];
  readonly excludeModules?: readonly string[];
}

/** Why a module was chosen; the first reason found. */
export type ModuleReason =
  | { readonly kind: "class"; readonly class: ModuleClass; readonly rule: ClassRule }
  | { readonly kind: "named"; readonly pattern: string }
  | { readonly kind: "dependency" | "softdep"; readonly of: string };

/** A module and why it is there. */
export interface ChosenModule {
  readonly module: KernelModule;
  readonly reason: ModuleReason;
}

/** The outcome of `selectModules`. */
export interface Selection {
  /** Closed under dependencies, by path. */
  readonly chosen: readonly ChosenModule[];
  /** Class rules that this kernel has nothing for: another flavour, or a rule that has aged. */
  readonly unmatched: readonly { readonly class: ModuleClass; readonly pattern: string }[];
}

/**
 * Chooses modules. Soft dependencies are followed where they exist; weak ones never.
 * @throws ImageError `module` when a name or glob of the definition matches nothing, or when a
 *   chosen module cannot do without one that is missing or excluded.
 */
export function selectModules(kernel: KernelFiles, choice: ModuleChoice): Selection {
  const find = finder(kernel);
  const excluded = new Set<KernelModule>();
  for (const pattern of choice.excludeModules ?? []) {
    for (const module of demanded(kernel, find, pattern)) excluded.add(module);
  }
  const reasons = new Map<KernelModule, ModuleReason>();
  const unmatched: { class: ModuleClass; pattern: string }[] = [];
  for (const name of choice.classes) {
    for (const [module, rule] of ofClass(find, name, unmatched)) {
      if (!reasons.has(module)) reasons.set(module, { kind: "class", class: name, rule });
    }
  }
  for (const pattern of choice.modules ?? []) {
    for (const module of demanded(kernel, find, pattern)) {
      if (!reasons.has(module)) reasons.set(module, { kind: "named", pattern });
    }
  }
  for (const module of excluded) reasons.delete(module);
  addDependencies(kernel, reasons, excluded);
  const chosen = [...reasons]
    .map(([module, reason]) => ({ module, reason }))
    .sort((a, b) => (a.module.path < b.module.path ? -1 : 1));
  return { chosen, unmatched };
}

/** What a pattern matches: loadable modules, and whether one built into the kernel does. */
type Finder = (pattern: string) => { readonly modules: KernelModule[]; readonly builtin: boolean };

function finder(kernel: KernelFiles): Finder {
  const all = [...kernel.modules.values()].map((module) => ({
    module,
    path: module.path.replace(/\.ko\.[a-z]+$/, ".ko"),
  }));
  return (pattern) => {
    if (pattern.includes("/")) {
      const test = matcherOf([pattern]);
      const modules = all.filter(({ path }) => test(path)).map(({ module }) => module);
      return { modules, builtin: false };
    }
    const normal = pattern.replaceAll("-", "_");
    if (!/[*?{]/.test(normal)) {
      const module = kernel.modules.get(normal);
      return { modules: module ? [module] : [], builtin: kernel.builtin.has(normal) };
    }
    const test = matcherOf([normal]);
    return {
      modules: all.filter(({ module }) => test(module.name)).map(({ module }) => module),
      builtin: [...kernel.builtin].some(test),
    };
  };
}

/** The modules of one class with the rule that took each; rules without a match are noted. */
function ofClass(
  find: Finder,
  name: ModuleClass,
  unmatched: { class: ModuleClass; pattern: string }[],
): Map<KernelModule, ClassRule> {
  const taken = new Map<KernelModule, ClassRule>();
  for (const rule of moduleClasses[name]) {
    for (const pattern of alternatives(rule.pattern)) {
      const { modules, builtin } = find(pattern);
      if (modules.length === 0 && !builtin) unmatched.push({ class: name, pattern });
      for (const module of modules) {
        if (rule.leaveOut) taken.delete(module);
        else if (!taken.has(module)) taken.set(module, rule);
      }
    }
  }
  return taken;
}

/** `{a,b}` as a whole pattern stands for `a` and `b`, so that each is seen to match. */
function alternatives(pattern: string): string[] {
  const list = /^\{([^{}/]+)\}$/.exec(pattern)?.[1];
  return list === undefined ? [pattern] : list.split(",");
}

/** What a pattern of the definition matches; nothing is an error. */
function demanded(kernel: KernelFiles, find: Finder, pattern: string): KernelModule[] {
  const { modules, builtin } = find(pattern);
  if (modules.length > 0 || builtin) return modules;
  const near = pattern.includes("/") ? [] : nearNames(kernel, pattern.replaceAll("-", "_"));
  const hint = near.length > 0 ? ` Near it: ${near.join(", ")}.` : "";
  throw new ImageError(
    "module",
    `Cannot choose kernel modules: "${pattern}" matches nothing in ${kernel.release}.${hint} ` +
      `Correct it in the definition's kernel.modules or kernel.excludeModules.`,
    { pattern, release: kernel.release, near },
  );
}

const nearCountMax = 5;

/** Names that hold each other, or differ by at most two letters; the closest first. */
function nearNames(kernel: KernelFiles, name: string): string[] {
  return [...kernel.modules.keys(), ...kernel.builtin]
    .map((known) => ({ known, distance: editDistance(known, name) }))
    .filter(({ known, distance }) => distance <= 2 || (name.length > 3 && known.includes(name)))
    .sort((a, b) => a.distance - b.distance || (a.known < b.known ? -1 : 1))
    .slice(0, nearCountMax)
    .map(({ known }) => known);
}

/** Levenshtein's distance: how many letters to insert, drop or change. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Closes the set: hard dependencies must exist, soft ones come along when they do. */
function addDependencies(
  kernel: KernelFiles,
  reasons: Map<KernelModule, ModuleReason>,
  excluded: ReadonlySet<KernelModule>,
): void {
  // A Map's iterator also visits what is added during the walk.
  for (const module of reasons.keys()) {
    const { depends, softdeps } = kernel.content(module);
    for (const name of depends.map(moduleName)) {
      if (kernel.builtin.has(name)) continue;
      const needed = kernel.modules.get(name);
      if (!needed || excluded.has(needed)) throw withoutDependency(module, name, needed);
      if (!reasons.has(needed)) reasons.set(needed, { kind: "dependency", of: module.name });
    }
    for (const name of softdeps.flatMap(softdepNames).map(moduleName)) {
      const wanted = kernel.modules.get(name);
      if (wanted && !excluded.has(wanted) && !reasons.has(wanted)) {
        reasons.set(wanted, { kind: "softdep", of: module.name });
      }
    }
  }
}

function withoutDependency(
  module: KernelModule,
  name: string,
  excluded: KernelModule | undefined,
): ImageError {
  const why = excluded ? "kernel.excludeModules leaves out" : "the kernel package does not have";
  const remedy = excluded ? ` Exclude ${module.name} too, or keep ${name}.` : "";
  return new ImageError(
    "module",
    `Cannot choose the kernel module ${module.name}: it needs ${name}, which ${why}.${remedy}`,
    { module: module.name, dependency: name },
  );
}
