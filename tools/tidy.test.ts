import assert from "node:assert/strict";
import test from "node:test";
import { checkRoot, checkTidy, commentColumnsMax, linesMax } from "./tidy.ts";

const messagesOf = (path: string, text: string) =>
  checkTidy([{ path, text }]).map(({ message }) => message);

// Put together here, so that this file does not have what it looks for.
const join = (...parts: string[]) => parts.join("");

const bad = [
  { name: "a mirror", text: join("deb", ".debian.org"), why: /mirror/ },
  {
    name: "a mirror in an address",
    text: join("https://security", ".debian.org/x"),
    why: /mirror/,
  },
  { name: "a national mirror", text: join("ftp.de", ".debian.org"), why: /mirror/ },
  { name: "another distribution's mirror", text: join("archive", ".ubuntu.com"), why: /mirror/ },
  { name: "a registry", text: join("registry", ".npmjs.org"), why: /registry/ },
  { name: "a machine's path", text: join('open("/wo', 'rk/x")'), why: /one machine/ },
  { name: "a home", text: join('"/home', '/jo/x"'), why: /one machine/ },
  { name: "unfinished code", text: join("// TO", "DO later"), why: /unfinished/ },
  { name: "a muted type checker", text: join("// @ts-", "ignore"), why: /type checker/ },
  { name: "a muted linter", text: join("// biome-", "ignore lint"), why: /linter/ },
  { name: "a test alone", text: join("test.", "only("), why: /mutes a test/ },
  { name: "a test left out", text: join("describe.", "skip("), why: /mutes a test/ },
];

for (const { name, text, why } of bad) {
  test(`checkTidy refuses ${name}`, () => {
    const messages = messagesOf("tools/a.ts", `const a = 1;\n${text}\n`);
    assert.equal(messages.length, 1);
    assert.match(messages[0]!, why);
  });
}

const good = [
  { path: "docs/a.md", text: "https://www.debian.org/doc/ and https://bugs.debian.org/1" },
  { path: "src-a.ts", text: 'const mirror = "https://mirror.example.org/debian";' },
  { path: "tools/a.test.ts", text: 't.skip("QEMU is missing")' },
  { path: "tools/a.ts", text: 'const path = "/usr/share/workers/x";' },
  { path: "appliances/a.lock.json", text: join("deb", ".debian.org") },
  { path: "a.png", text: join("deb", ".debian.org") },
];

for (const { path, text } of good) {
  test(`checkTidy allows ${path}: ${text}`, () => assert.deepEqual(messagesOf(path, text), []));
}

test("checkTidy: a script may have so many lines and no more", () => {
  assert.deepEqual(messagesOf("tools/a.ts", "\n".repeat(linesMax)), []);
  assert.match(messagesOf("tools/a.ts", "\n".repeat(linesMax + 1))[0]!, /501 lines; 500/);
  assert.deepEqual(messagesOf("docs/a.md", "\n".repeat(linesMax + 1)), []);
});

test("checkTidy: a comment may have so many columns and no more; code is the formatter's", () => {
  const wide = (start: string, columns: number) => start.padEnd(columns, "x");
  for (const start of ["// ", "  * ", "/** "]) {
    assert.deepEqual(messagesOf("tools/a.ts", wide(start, commentColumnsMax)), []);
    assert.match(messagesOf("tools/a.ts", wide(start, commentColumnsMax + 1))[0]!, /columns: /);
  }
  assert.deepEqual(messagesOf("tools/a.ts", wide('const a = "', commentColumnsMax + 1)), []);
  assert.deepEqual(messagesOf("docs/a.md", wide("* ", commentColumnsMax + 1)), []);
});

test("checkRoot allows what a project has at its root, and nothing else", () => {
  const usual = [".gitignore", ".npmrc", "LICENSE", "README.md", "package-lock.json", "src/a.log"];
  assert.deepEqual(checkRoot(usual), []);
  for (const path of ["isolate-0x1-v8.log", "a.ts", "core", "disk.raw", "notes.txt"]) {
    assert.match(checkRoot([path])[0]!.message, /does not belong at the root/);
  }
});

test("checkTidy: each part has a readme and a door; the command line has no door", () => {
  const empty = (path: string) => ({ path, text: "" });
  const whole = ["src/a/index.ts", "src/a/README.md", "src/a/x/y.ts", "src/cli/README.md"];
  assert.deepEqual(checkTidy(whole.map(empty)), []);
  assert.deepEqual(checkTidy([empty("src/b/x.ts")]), [
    { path: "src/b", message: "Has no README.md." },
    { path: "src/b", message: "Has no index.ts." },
  ]);
});
