import assert from "node:assert/strict";
import test from "node:test";
import { findImports, scanCode } from "./source.ts";

const table = [
  { name: "a plain import", text: 'import { a } from "./a.ts";', imports: ["./a.ts"] },
  { name: "single quotes", text: "import a from './a.ts'", imports: ["./a.ts"] },
  {
    name: "an import over several lines",
    text: 'import {\n  a,\n  type b as c,\n} from "./a.ts";',
    imports: ["./a.ts"],
  },
  { name: "a namespace", text: 'import * as a from "node:fs";', imports: ["node:fs"] },
  { name: "for its effect", text: 'import "./a.ts";', imports: ["./a.ts"] },
  { name: "dynamic", text: 'const a = await import("./a.ts");', imports: ["./a.ts"] },
  { name: "a re-export", text: 'export { a } from "./a.ts";', imports: ["./a.ts"] },
  { name: "a re-export of all", text: 'export * from "./a.ts";', imports: ["./a.ts"] },
  {
    name: "a worker's script",
    text: 'new Worker(new URL("./w.ts", import.meta.url))',
    imports: ["./w.ts"],
  },
  { name: "two on one line", text: 'import"./a.ts";import"./b.ts"', imports: ["./a.ts", "./b.ts"] },
  { name: "after an export that has none", text: 'export const x = 1;\nfrom("y");', imports: [] },
  { name: "in a line comment", text: '// import "./a.ts";', imports: [] },
  { name: "in a comment", text: '/* import "./a.ts"; */', imports: [] },
  { name: "in a string", text: "const s = 'import \"./a.ts\"';", imports: [] },
  { name: "in a template", text: 'const s = `import "./a.ts"`;', imports: [] },
  {
    name: "in the code of a template",
    text: 'const s = `x $\u007bawait import("./a.ts")} y`;',
    imports: ["./a.ts"],
  },
  {
    name: "after a comment mark in a string",
    text: 'const s = "/*"; import "./a.ts"; const t = "*/";',
    imports: ["./a.ts"],
  },
  {
    name: "after a quote in a regular expression",
    text: 'const r = /["\'`]/; import "./a.ts";',
    imports: ["./a.ts"],
  },
  {
    name: "after a slash in a character class",
    text: 'f(/[/"]/g); import "./a.ts";',
    imports: ["./a.ts"],
  },
  { name: "after divisions", text: 'const x = a / b / c; import "./a.ts";', imports: ["./a.ts"] },
  {
    name: "after an escaped quote",
    text: 'const s = "a\\"b"; import "./a.ts";',
    imports: ["./a.ts"],
  },
];

for (const { name, text, imports } of table) {
  test(`findImports: ${name}`, () => {
    const found = findImports(scanCode(text)).map(({ specifier }) => specifier);
    assert.deepEqual(found.sort(), imports);
  });
}

test("findImports: only an import of types alone is erased", () => {
  const typeOnly = (text: string) => findImports(scanCode(text))[0]?.typeOnly;
  assert.equal(typeOnly('import type { A } from "./a.ts";'), true);
  assert.equal(typeOnly('export type { A } from "./a.ts";'), true);
  assert.equal(typeOnly('import { type A, b } from "./a.ts";'), false);
  assert.equal(typeOnly('import "./a.ts";'), false);
});

test("scanCode keeps the braces of nested templates balanced", () => {
  const { code } = scanCode("const s = `a$\u007b`b$\u007b{ c: 1 }.c}`}d`; next();");
  assert.match(code, /next\(\);$/);
});
