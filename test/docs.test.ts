/** The documents: programs that they show run, and the tests that they name are there. */

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { glob, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "..");
const examples = join(root, "docs/examples");
const text = await readFile(join(root, "docs/nvme-tcp.md"), "utf8");

async function firstLine(child: ChildProcess): Promise<string> {
  const lines = createInterface({ input: child.stdout! });
  const ended = once(child, "close").then(([code]) => assert.fail(`it ended with ${code}`));
  const [line] = await Promise.race([once(lines, "line"), ended]);
  return String(line);
}

test("the programs of docs/nvme-tcp.md serve a file, and read it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-docs-"));
  const path = join(folder, "disk.img");
  await writeFile(path, Buffer.alloc(2 ** 20, "diskomator docs "));
  const target = spawn(process.execPath, [join(examples, "target.ts"), path, "0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const line = await firstLine(target);
    const [, nqn = "", port = ""] = /^(\S+) at 127\.0\.0\.1 port (\d+)$/.exec(line) ?? [];
    const reader = [join(examples, "read-disk.ts"), "127.0.0.1", port];
    const { stdout } = await promisify(execFile)(process.execPath, reader);
    const start = Buffer.from("diskomator docs ").toString("hex");
    assert.equal(stdout, `${nqn} 1 1048576 ${start}\n`);
    const ended = once(target, "close");
    target.kill("SIGINT");
    assert.deepEqual(await ended, [0, null]);
  } finally {
    target.kill();
    await rm(folder, { recursive: true });
  }
});

test("every entry point that docs/nvme-tcp.md names opens by the package's name", async () => {
  const named = new Set([...text.matchAll(/`(diskomator\/[a-z]+)`/g)].map(([, name]) => name!));
  assert.deepEqual(
    [...named].toSorted(),
    ["block", "initiator", "nvme", "target"].map((part) => `diskomator/${part}`),
  );
  for (const name of named) {
    const door: object = await import(name);
    assert.ok(Object.keys(door).length > 1, name);
  }
});

test("docs/nvme-tcp.md shows the programs as they are", async () => {
  for (const name of ["target.ts", "read-disk.ts"]) {
    const program = await readFile(join(examples, name), "utf8");
    assert.ok(text.includes(`\`\`\`ts\n${program}\`\`\`\n`), `${name} differs`);
  }
});

const documents = await filesOf("**/*.md");
const tests = await filesOf("**/*.test.ts");

test("documents name tests that there are", async () => {
  let count = 0;
  for (const document of documents) {
    const text = await readFile(join(root, document), "utf8");
    for (const [, path = ""] of text.matchAll(/([\w./-]+\.test\.ts)/g)) {
      // A name without a folder stands beside another one of the same folder.
      const isThere = path.includes("/") ? tests.includes(path) : tests.some(endsWith(path));
      assert.ok(isThere, `${document} names ${path}`);
      count += 1;
    }
    for (const [, path = "", title = ""] of text.matchAll(/`([\w./-]+\.test\.ts)`\s"([^"]+)"/g)) {
      const source = await readFile(join(root, path), "utf8");
      const start = `(?:test(?:Capture)?|scenario)\\(\\s*["\`]${literally(title)}`;
      assert.ok(new RegExp(start).test(source), `${document}: ${path} "${title}"`);
    }
  }
  assert.ok(count > 200, `${count} tests are named`);
});

function endsWith(name: string): (path: string) => boolean {
  return (path) => path.endsWith(`/${name}`);
}

/** Paths of the project's own files, relative to the root. */
async function filesOf(pattern: string): Promise<string[]> {
  const isForeign = (path: string) => /^(?:node_modules|out|\.git)(?:\/|$)/.test(path);
  const found: string[] = [];
  for await (const path of glob(pattern, { cwd: root, exclude: isForeign })) found.push(path);
  return found;
}

function literally(words: string): string {
  // In a paragraph, a line may end within them.
  return words.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll(/\s+/g, " ");
}
