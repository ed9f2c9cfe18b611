import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { checkWalls, parts } from "./walls.ts";

const packages = new Set(["openpgp", "@napi-rs/lzma"]);

function findingsOf(path: string, text: string): string[] {
  return checkWalls([{ path, text }], packages).map(({ message }) => message);
}

const allowed = [
  { path: "src/nvme/pdu.ts", text: 'import { layout } from "../bytes/index.ts";' },
  { path: "src/nvme/pdu.ts", text: 'import { x } from "./identify.ts";' },
  { path: "src/nvme/deep/pdu.ts", text: 'import { x } from "../identify.ts";' },
  { path: "src/nvme/pdu.ts", text: 'import { createHash } from "node:crypto";' },
  { path: "src/nvme/pdu.ts", text: 'import type { Socket } from "node:net";' },
  { path: "src/image/apt/a.ts", text: 'import { readKey } from "openpgp";' },
  { path: "src/image/a.ts", text: 'import { xz } from "@napi-rs/lzma/xz";' },
  { path: "src/image/apt/a.ts", text: 'import { f } from "../fetch/index.ts";' },
  { path: "src/image/apt/a.ts", text: 'import { ImageError } from "../error.ts";' },
  { path: "src/ui/page.ts", text: 'import type { Plan } from "../flash/index.ts";' },
  { path: "src/cli/serve.ts", text: 'import { t } from "../target/index.ts"; process.exit(1);' },
  {
    path: "src/block/driver-file.ts",
    text: 'import { open } from "node:fs/promises"; Date.now();',
  },
  { path: "src/block/file.test.ts", text: 'import { open } from "node:fs/promises";' },
  { path: "test/x.test.ts", text: 'import { s } from "./support/s.ts"; setTimeout(f, 1);' },
  { path: "test/x.test.ts", text: 'import { i } from "../src/image/apt/index.ts";' },
  { path: "bench/x.ts", text: 'import { boot } from "../test/driver-box.ts";' },
  {
    path: "src/vm/a.ts",
    text: "const date = new Date(0); child.process.kill(); emulator.fetch(1);",
  },
  { path: "src/vm/a.ts", text: '// process.env\nconst s = "Date.now()";' },
  { path: "src/vm/testing/a.ts", text: 'import { c } from "../b.ts"; setTimeout(f, 1);' },
  { path: "src/vm/a.test.ts", text: 'import { c } from "./testing/c.ts";' },
  { path: "src/flash/a.test.ts", text: 'import { c } from "../disk/testing/c.ts";' },
  { path: "test/driver-a.ts", text: 'import { c } from "../src/disk/testing/c.ts";' },
  { path: "docs/examples/a.ts", text: 'import { t } from "diskomator/target"; process.exit(1);' },
  { path: "tsconfig.ts", text: 'import "node:fs"; process.exit(0);' },
];

for (const { path, text } of allowed) {
  test(`checkWalls allows ${path}: ${text}`, () => assert.deepEqual(findingsOf(path, text), []));
}

const crossings = [
  { path: "src/nvme/a.ts", text: 'import "../block/index.ts";', why: /nvme may not know block/ },
  { path: "src/target/a.ts", text: 'import "../initiator/index.ts";', why: /may not know/ },
  { path: "src/initiator/a.ts", text: 'import "../target/index.ts";', why: /may not know/ },
  { path: "src/box/a.ts", text: 'import "../cli/index.ts";', why: /may not know cli/ },
  { path: "test/a.test.ts", text: 'import "../src/ui/index.ts";', why: /may not know ui/ },
  { path: "bench/a.ts", text: 'import "../test/a.test.ts";', why: /only tests import/ },
  { path: "tools/a.ts", text: 'import "../test/driver-box.ts";', why: /tools may not know test/ },
  { path: "test/a.test.ts", text: 'import "../appliances/x.ts";', why: /may not know appliances/ },
  { path: "src/vm/a.ts", text: 'import "../../tools/walls.ts";', why: /may not know tools/ },
  { path: "docs/examples/a.ts", text: 'import "../../src/target/index.ts";', why: /may not know/ },
  { path: "test/a.test.ts", text: 'import { t } from "diskomator/target";', why: /does not list/ },
  { path: "src/ui/a.ts", text: 'import { p } from "../flash/index.ts";', why: /not know flash/ },
  { path: "src/nvme/a.ts", text: 'import "../bytes/layout.ts";', why: /only its index\.ts/ },
  { path: "src/nvme/a.ts", text: 'export * from "../bytes/layout.ts";', why: /only its index\.ts/ },
  { path: "src/nvme/a.ts", text: 'await import("../bytes/layout.ts");', why: /only its index/ },
  { path: "src/nvme/a.ts", text: 'import type { L } from "../bytes/layout.ts";', why: /index\.ts/ },
  { path: "src/cli/a.ts", text: 'import "../image/apt/index.ts";', why: /only its index\.ts/ },
  { path: "src/image/apt/a.ts", text: 'import "../fetch/b.ts";', why: /outside the room fetch/ },
  { path: "src/image/a.ts", text: 'import "./fetch/b.ts";', why: /outside the room fetch/ },
  { path: "src/nvme/a.ts", text: 'import { open } from "node:fs";', why: /outside a driver/ },
  { path: "src/nvme/a.ts", text: 'import "node:timers/promises";', why: /outside a driver/ },
  { path: "src/nvme/a.ts", text: 'import { x } from "left-pad";', why: /"left-pad"/ },
  { path: "src/nvme/a.ts", text: 'import { x } from "@other/lzma";', why: /"@other\/lzma"/ },
  { path: "src/nvme/a.ts", text: "const e = process.env.X;", why: /Uses process/ },
  { path: "src/nvme/a.ts", text: "const e = `$\u007bprocess.env.X}`;", why: /Uses process/ },
  { path: "src/nvme/a.ts", text: "const t = Date.now();", why: /Date/ },
  { path: "src/nvme/a.ts", text: "const t = new Date();", why: /Date/ },
  { path: "src/nvme/a.ts", text: "const t = performance.now();", why: /performance/ },
  { path: "src/nvme/a.ts", text: "setTimeout(f, 1);", why: /a timer/ },
  { path: "src/nvme/a.ts", text: "AbortSignal.timeout(1);", why: /a timer/ },
  { path: "src/nvme/a.ts", text: 'await fetch("x");', why: /the network/ },
  { path: "src/nvme/a.ts", text: 'console.log("x");', why: /the console/ },
  { path: "src/vm/a.ts", text: 'import "./testing/c.ts";', why: /only tests import/ },
  { path: "src/vm/a.ts", text: 'import "./c.test.ts";', why: /only tests import/ },
  { path: "src/flash/a.ts", text: 'import "../disk/testing/c.ts";', why: /only tests import/ },
  { path: "src/disk/index.ts", text: 'export * from "./testing/c.ts";', why: /only tests import/ },
  { path: "src/disk/a.test.ts", text: 'import "../flash/testing/c.ts";', why: /not know flash/ },
  { path: "src/flash/a.test.ts", text: 'import "../disk/b.test.ts";', why: /only its index\.ts/ },
  { path: "src/nonsense/a.ts", text: "", why: /has no line/ },
];

for (const { path, text, why } of crossings) {
  test(`checkWalls refuses ${path}: ${text}`, () => {
    const findings = findingsOf(path, text);
    assert.equal(findings.length, 1);
    assert.match(findings[0]!, why);
  });
}

test("parts: nobody but cli imports ui, and nobody imports cli or appliances", () => {
  for (const [name, part] of Object.entries(parts)) {
    assert.ok(!part.imports.includes("cli") && !part.imports.includes("appliances"), name);
    assert.equal(part.imports.includes("ui"), name === "cli", name);
    for (const imported of part.imports) assert.ok(parts[imported], `${name} imports ${imported}`);
  }
});

test("parts: no part can reach itself", () => {
  const reach = (name: string, seen: Set<string>): Set<string> => {
    for (const imported of parts[name]?.imports ?? []) {
      if (!seen.has(imported)) reach(imported, seen.add(imported));
    }
    return seen;
  };
  for (const name of Object.keys(parts)) assert.ok(!reach(name, new Set()).has(name), name);
});

test("docs/ARCHITECTURE.md says of every part what the walls let it know", async () => {
  const text = await readFile(join(import.meta.dirname, "../docs/ARCHITECTURE.md"), "utf8");
  const rows = [...text.matchAll(/^\| `([a-z]+)` +\|[^|]+\| ([^|]+?) +\|$/gm)];
  const told = new Map(rows.map(([, name = "", known = ""]) => [name, known]));
  const folders = await readdir(join(import.meta.dirname, "../src"));
  assert.deepEqual([...told.keys()].toSorted(), folders.toSorted());
  for (const [name, known] of told) {
    if (name === "cli") continue;
    assert.deepEqual(known === "–" ? [] : known.split(", "), parts[name]?.imports, name);
  }
});
