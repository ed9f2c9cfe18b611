/**
 * The index files of a modules folder, as kmod 34's `depmod` writes them for the same modules.
 * The order of its lines and values decides in which order modules are loaded; the oracle test
 * holds every file against the real one.
 */

import { ImageError } from "../error.ts";
import { moduleName, parseBuiltinAliases } from "./modinfo.ts";
import { type KernelFiles, type KernelModule, type ModuleContent, textLines } from "./modules.ts";
import { encodeTrie, type TrieItem } from "./trie.ts";

/** One index file. */
export interface IndexFile {
  /** `modules.dep.bin`. */
  readonly name: string;
  readonly data: Uint8Array;
}

interface IndexedModule {
  readonly name: string;
  readonly path: string;
  readonly content: ModuleContent;
  /** Place in the order of `modules.order`, from 0. */
  readonly index: number;
}

/**
 * Indexes `chosen`, which must be closed under dependencies.
 * `modules.symbols` is left out: it lies in the order of kmod's hash table, and nothing reads it.
 * @throws ImageError `module` when a dependency is missing or circular, or a name is not ASCII.
 */
export function depmod(kernel: KernelFiles, chosen: readonly KernelModule[]): IndexFile[] {
  const modules = inOrder(kernel, chosen);
  const lines = dependencyLines(modules);
  const text = (rows: readonly string[]) =>
    Buffer.from(rows.map((row) => `${row}\n`).join(""), "latin1");
  const each = (row: (module: IndexedModule) => readonly string[]) => modules.flatMap(row);
  return [
    { name: "modules.dep", data: text(lines) },
    {
      name: "modules.dep.bin",
      data: index(modules.map((m, i) => ({ key: m.name, value: lines[i]!, priority: i }))),
    },
    {
      name: "modules.alias",
      data: text([
        "# Aliases extracted from modules themselves.",
        ...each((m) => m.content.aliases.map((alias) => `alias ${alias} ${m.name}`)),
      ]),
    },
    { name: "modules.alias.bin", data: index(modules.flatMap(aliasItems)) },
    {
      name: "modules.softdep",
      data: text([
        "# Soft dependencies extracted from modules themselves.",
        ...each((m) => m.content.softdeps.map((soft) => `softdep ${m.name} ${soft}`)),
      ]),
    },
    {
      name: "modules.weakdep",
      data: text([
        "# Weak dependencies extracted from modules themselves.",
        ...each((m) => m.content.weakdeps.map((weak) => `weakdep ${m.name} ${weak}`)),
      ]),
    },
    { name: "modules.symbols.bin", data: index(symbolItems(modules)) },
    {
      name: "modules.builtin.bin",
      data: index(
        textLines(kernel.builtinList).map((line) => ({
          key: moduleName(line),
          value: "",
          priority: 0,
        })),
      ),
    },
    { name: "modules.builtin.alias.bin", data: index(builtinAliasItems(kernel)) },
    { name: "modules.devname", data: text(deviceNodes(modules)) },
  ];
}

/**
 * An alias as the index holds it: `-` becomes `_` outside of brackets.
 * Undefined when its brackets do not match, which depmod leaves out with a warning.
 */
export function normalizeAlias(alias: string): string | undefined {
  let normal = "";
  for (let i = 0; i < alias.length; i++) {
    const character = alias[i]!;
    if (character === "]") return undefined;
    if (character === "[") {
      const end = alias.indexOf("]", i);
      if (end < 0) return undefined;
      normal += alias.slice(i, end + 1);
      i = end;
    } else normal += character === "-" ? "_" : character;
  }
  return normal;
}

/** The modules in the order of `modules.order`; those that it does not name follow by path. */
function inOrder(kernel: KernelFiles, chosen: readonly KernelModule[]): IndexedModule[] {
  const rank = new Map(textLines(kernel.order).map((line, i) => [line, i]));
  const rankOf = ({ path }: KernelModule) =>
    rank.get(path.replace(/\.ko\.[a-z]+$/, ".ko")) ?? rank.size;
  return [...chosen]
    .sort((a, b) => rankOf(a) - rankOf(b) || (a.path < b.path ? -1 : 1))
    .map((module, i) => ({
      name: module.name,
      path: module.path,
      content: kernel.content(module),
      index: i,
    }));
}

/** The line of each module in `modules.dep`: its path, then all that it needs, topmost first. */
function dependencyLines(modules: readonly IndexedModule[]): string[] {
  const direct = directDependencies(modules);
  const rank = topologicalRank(modules, direct);
  return modules.map((module) => {
    const needed = new Set<number>();
    const stack = [module.index];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      for (const dependency of direct[at]!) {
        if (needed.has(dependency)) continue;
        needed.add(dependency);
        stack.push(dependency);
      }
    }
    const paths = [...needed].sort((a, b) => rank[a]! - rank[b]!).map((i) => modules[i]!.path);
    return [`${module.path}:`, ...paths].join(" ");
  });
}

/**
 * What each module needs directly, in the order in which its undefined symbols first name them:
 * that order decides ties in the ranking below.
 */
function directDependencies(modules: readonly IndexedModule[]): number[][] {
  const owners = new Map<string, number>();
  for (const { content, index: place } of modules) {
    for (const symbol of content.exports) owners.set(symbol, place);
  }
  const names = new Set(modules.map(({ name }) => name));
  return modules.map(({ path, content }) => {
    const missing = content.depends.find((dependency) => !names.has(moduleName(dependency)));
    if (missing !== undefined) {
      throw new ImageError(
        "module",
        `Cannot index ${path}: it needs the module ${missing}, which was not chosen.`,
        { path, dependency: missing },
      );
    }
    const needed = content.imports.map((symbol) => owners.get(symbol));
    return [...new Set(needed.filter((place) => place !== undefined))];
  });
}

/**
 * The rank of each module in depmod's order, in which a module comes before what it needs.
 * Ready modules are taken from the end of their list, as depmod does.
 */
function topologicalRank(
  modules: readonly IndexedModule[],
  direct: readonly (readonly number[])[],
): number[] {
  const users = modules.map(() => 0);
  for (const dependency of direct.flat()) users[dependency]!++;
  const ready = modules.map(({ index: place }) => place).filter((place) => users[place] === 0);
  const rank: number[] = [];
  let next = 0;
  for (let at = ready.pop(); at !== undefined; at = ready.pop()) {
    rank[at] = next++;
    for (const dependency of direct[at]!) {
      users[dependency]!--;
      if (users[dependency] === 0) ready.push(dependency);
    }
  }
  if (next === modules.length) return rank;
  const circular = modules.filter((_, i) => rank[i] === undefined).map(({ name }) => name);
  throw new ImageError(
    "module",
    `Cannot order the kernel modules: ${circular.join(", ")} need each other in a circle.`,
    { circular },
  );
}

function aliasItems({ name, content, index: priority }: IndexedModule): TrieItem[] {
  return content.aliases.flatMap((alias) => {
    const key = normalizeAlias(alias);
    return key === undefined ? [] : [{ key, value: name, priority }];
  });
}

/** `symbol:NAME` → module; a name that several export belongs to the last of them. */
function symbolItems(modules: readonly IndexedModule[]): TrieItem[] {
  const items = new Map<string, TrieItem>();
  for (const { name, content, index: priority } of modules) {
    for (const symbol of content.exports) {
      items.set(symbol, { key: `symbol:${symbol}`, value: name, priority });
    }
  }
  return [...items.values()];
}

function builtinAliasItems(kernel: KernelFiles): TrieItem[] {
  return parseBuiltinAliases(kernel.builtinModinfo).flatMap(({ module, alias }) => {
    const key = normalizeAlias(alias);
    return key === undefined ? [] : [{ key, value: module, priority: 0 }];
  });
}

/** Lines of `modules.devname`: nodes that are made at boot and load their module when opened. */
function deviceNodes(modules: readonly IndexedModule[]): string[] {
  const lines: string[] = [];
  for (const { name, content } of modules) {
    let node: string | undefined;
    let number: string | undefined;
    for (const alias of content.aliases) {
      const major = /^(c|b)(?:har|lock)-major-(\d+)-(\d+)/.exec(alias);
      if (alias.startsWith("devname:")) node = alias.slice("devname:".length);
      else if (major) number = `${major[1]}${major[2]}:${major[3]}`;
      if (node !== undefined && number !== undefined) break;
    }
    if (node !== undefined && number !== undefined) lines.push(`${name} ${node} ${number}`);
  }
  if (lines.length > 0) lines.unshift("# Device nodes to trigger on-demand module loading.");
  return lines;
}

function index(items: readonly TrieItem[]): Uint8Array {
  try {
    return encodeTrie(items);
  } catch (cause) {
    throw new ImageError(
      "module",
      `Cannot index the kernel modules: ${String(cause)}`,
      {},
      { cause },
    );
  }
}
