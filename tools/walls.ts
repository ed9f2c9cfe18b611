/**
 * The walls between the parts: who may import whom, and where the world (files, network, clocks,
 * the process) may be touched. DESIGN.md has the reasons; this table is what holds.
 */

import { posix } from "node:path";
import { findImports, type Import, type SourceFile, scanCode } from "./source.ts";

/** A line that the check reports. */
export interface Finding {
  readonly path: string;
  readonly message: string;
}

interface Part {
  /** Parts whose `index.ts` it may import. */
  readonly imports: readonly string[];
  /** Parts of which it may import types only. */
  readonly typesOf?: readonly string[];
  /** It is at the edge: it may touch the world anywhere. */
  readonly edge?: true;
  /** Its folders import each other through their `index.ts` too. */
  readonly rooms?: true;
  /** It may also import the doors of another part's rooms. */
  readonly seesRooms?: true;
  /** A part without a door whose drivers it may import. */
  readonly driversOf?: string;
  /** It imports the package by its name, as who uses it does. */
  readonly byName?: true;
}

const library = [
  "bytes",
  "nvme",
  "block",
  "disk",
  "target",
  "initiator",
  "image",
  "rpc",
  "appliance",
  "box",
  "flash",
  "vm",
];

/** The folders of the project, by the name under which `folderOf` knows them. */
export const parts: Readonly<Record<string, Part>> = {
  bytes: { imports: [] },
  nvme: { imports: ["bytes"] },
  block: { imports: ["bytes"] },
  disk: { imports: ["bytes", "block"] },
  target: { imports: ["bytes", "nvme", "block"] },
  initiator: { imports: ["bytes", "nvme", "block"] },
  image: { imports: ["bytes", "block", "disk"], rooms: true },
  rpc: { imports: [] },
  appliance: { imports: ["nvme", "block", "disk", "target", "rpc"] },
  box: { imports: ["bytes", "nvme", "rpc", "initiator"] },
  flash: { imports: ["bytes", "block", "disk", "rpc"] },
  vm: { imports: [] },
  ui: { imports: ["box"], typesOf: ["flash"] },
  cli: { imports: [...library, "ui"], edge: true },
  appliances: { imports: ["image"], edge: true },
  test: { imports: library, edge: true, seesRooms: true },
  bench: { imports: library, edge: true, seesRooms: true, driversOf: "test" },
  docs: { imports: [], edge: true, byName: true },
  tools: { imports: library, edge: true },
};

/** Our own name; package.json says which doors it opens. */
const packageName = "diskomator";

/** Modules through which the world is reached; their types may be imported everywhere. */
const worldModules = new Set(
  [
    ["child_process", "cluster", "dgram", "dns", "dns/promises", "fs", "fs/promises"],
    ["http", "http2", "https", "net", "os", "perf_hooks", "process", "readline"],
    ["readline/promises", "timers", "timers/promises", "tls", "tty", "worker_threads"],
  ].flat(),
);

/** Globals through which the world is reached. */
const worldGlobals: readonly (readonly [name: string, pattern: RegExp])[] = [
  ["process", /(?<![.\w$#])process\s*\??\.\s*\w/],
  ["the clock (Date)", /(?<![.\w$#])(?:Date\s*\.\s*now\b|new\s+Date\s*(?:\(\s*\)|[;,)]))/],
  ["the clock (performance)", /(?<![.\w$#])performance\s*\.\s*\w/],
  ["a timer", /(?<![.\w$#])(?:setTimeout|setInterval|setImmediate)\s*\(/],
  ["a timer (AbortSignal.timeout)", /(?<![.\w$#])AbortSignal\s*\.\s*timeout\b/],
  ["the network (fetch)", /(?<![.\w$#])(?:fetch|WebSocket)\s*\(/],
  ["the console", /(?<![.\w$#])console\s*\.\s*\w/],
];

/**
 * Checks every script among the files.
 * @param packages names from package.json that may be imported.
 */
export function checkWalls(files: readonly SourceFile[], packages: ReadonlySet<string>): Finding[] {
  return files.filter(({ path }) => path.endsWith(".ts")).flatMap((file) => check(file, packages));
}

function check(file: SourceFile, packages: ReadonlySet<string>): Finding[] {
  const folder = folderOf(file.path);
  const part = folder === undefined ? undefined : parts[folder];
  if (folder === undefined) return [];
  if (part === undefined) {
    return [{ path: file.path, message: `The part "${folder}" has no line in tools/walls.ts.` }];
  }
  const scanned = scanCode(file.text);
  const messages = findImports(scanned).flatMap(
    (found) => judgeImport(found, file.path, folder, part, packages) ?? [],
  );
  if (!mayTouchWorld(file.path, part)) {
    for (const [name, pattern] of worldGlobals) {
      if (pattern.test(scanned.code)) {
        messages.push(`Uses ${name} outside a driver. Take it as a value, or move it.`);
      }
    }
  }
  return messages.map((message) => ({ path: file.path, message }));
}

/** The part of a path below src, or its top folder; undefined for a file that is in none. */
function folderOf(path: string): string | undefined {
  const [top, second, third] = path.split("/");
  if (top !== "src") return second === undefined ? undefined : top;
  return third === undefined ? undefined : second;
}

function mayTouchWorld(path: string, part: Part): boolean {
  return part.edge === true || posix.basename(path).startsWith("driver") || isForTests(path);
}

/** A test, or what tests share: a file in a folder named `testing`. */
function isForTests(path: string): boolean {
  return path.endsWith(".test.ts") || path.includes("/testing/");
}

/** Why an import crosses a wall; undefined when it does not. */
function judgeImport(
  { specifier, typeOnly }: Import,
  path: string,
  folder: string,
  part: Part,
  packages: ReadonlySet<string>,
): string | undefined {
  if (specifier.startsWith("node:")) {
    if (typeOnly || mayTouchWorld(path, part)) return undefined;
    if (!worldModules.has(specifier.slice("node:".length))) return undefined;
    return `Imports ${specifier} outside a driver. Move it to a file named driver*.ts.`;
  }
  if (!specifier.startsWith(".")) {
    const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
    if (name === packageName && part.byName) return undefined;
    return packages.has(name) ? undefined : `Imports "${name}", which package.json does not list.`;
  }
  const target = posix.join(posix.dirname(path), specifier);
  if (isForTests(target) && !isForTests(path) && folder !== "test") {
    return `Imports ${target}: only tests import what is for tests.`;
  }
  const targetFolder = folderOf(target);
  if (targetFolder === folder) return part.rooms ? judgeRoom(path, target) : undefined;
  const targetPart = targetFolder === undefined ? undefined : parts[targetFolder];
  if (targetFolder === undefined || targetPart === undefined) return undefined;
  const isDriver = posix.basename(target).startsWith("driver");
  if (isDriver && part.driversOf === targetFolder) return undefined;
  const allowed = [...part.imports, ...(typeOnly ? (part.typesOf ?? []) : [])];
  if (!allowed.includes(targetFolder)) {
    return `Imports ${target}: ${folder} may not know ${targetFolder}.`;
  }
  if (target === `src/${targetFolder}/index.ts`) return undefined;
  // Only a test comes this far with it: samples and models are shared, and are at no part's door.
  if (target.includes("/testing/")) return undefined;
  if (part.seesRooms && targetPart.rooms && target.endsWith("/index.ts")) return undefined;
  return `Imports ${target}: outside a part only its index.ts is imported.`;
}

/** Between the rooms of a part; what lies in no room belongs to all. */
function judgeRoom(path: string, target: string): string | undefined {
  const roomOf = (file: string) => (file.split("/").length > 3 ? file.split("/")[2] : undefined);
  const room = roomOf(target);
  if (room === undefined || room === roomOf(path)) return undefined;
  if (posix.basename(target) === "index.ts") return undefined;
  return `Imports ${target}: outside the room ${room} only its index.ts is imported.`;
}
