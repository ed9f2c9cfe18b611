import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ImageError } from "../error.ts";
import { parseSysusers, type SysusersLine } from "./sysusers.ts";

const any = { from: "any" } as const;
const number = (id: number) => ({ from: "number", id }) as const;

const lines: { name: string; text: string; value: SysusersLine[] }[] = [
  { name: "comments and blanks", text: "# no\n\n   \n", value: [] },
  {
    name: "a group with a number",
    text: "g shadow     42    -",
    value: [{ type: "group", name: "shadow", gid: number(42) }],
  },
  {
    name: "a group with any number",
    text: "g input  -",
    value: [{ type: "group", name: "input", gid: any }],
  },
  {
    name: "a locked user with a quoted description",
    text: 'u! systemd-network - "systemd Network Management"',
    value: [
      {
        type: "user",
        name: "systemd-network",
        uid: any,
        gecos: "systemd Network Management",
        locked: true,
      },
    ],
  },
  {
    name: "uid and gid as numbers",
    text: "u sync 4:65534 - /bin /bin/sync",
    value: [
      {
        type: "user",
        name: "sync",
        uid: number(4),
        group: { gid: 65534 },
        gecos: "",
        home: "/bin",
        shell: "/bin/sync",
        locked: false,
      },
    ],
  },
  {
    name: "a named group, in single quotes with an escape",
    text: "u sshd -:nogroup 'ssh\\'d: user' /run/sshd",
    value: [
      {
        type: "user",
        name: "sshd",
        uid: any,
        group: { name: "nogroup" },
        gecos: "ssh'd user",
        home: "/run/sshd",
        locked: false,
      },
    ],
  },
  {
    name: "an id from a path, and a literal percent sign",
    text: "u a /usr/bin/a 100%%",
    value: [
      {
        type: "user",
        name: "a",
        uid: { from: "path", path: "usr/bin/a" },
        gecos: "100%",
        locked: false,
      },
    ],
  },
  {
    name: "membership",
    text: "m daemon adm",
    value: [{ type: "member", user: "daemon", group: "adm" }],
  },
  {
    name: "ranges",
    text: "r - 500-600\nr - 7",
    value: [
      { type: "range", first: 500, last: 600 },
      { type: "range", first: 7, last: 7 },
    ],
  },
];

for (const { name, text, value } of lines) {
  test(`parseSysusers reads ${name}`, () => {
    assert.deepEqual(parseSysusers("a.conf", text), value);
  });
}

const malformed: { text: string; why: string }[] = [
  { text: "x name", why: "the type x is not one of u, u!, g, m, r" },
  { text: "u", why: "no valid user name" },
  { text: "u 1st -", why: "no valid user name" },
  { text: "g a 4294967295", why: "4294967295 is no user or group id" },
  { text: "g a 65535", why: "65535 is no user or group id" },
  { text: "g a 12x", why: "12x is no user or group id" },
  { text: "u a 1:", why: "no valid group name" },
  { text: "m a", why: "no valid group name" },
  { text: "r - 9-3", why: "the range ends before it starts" },
  { text: "r - a", why: "no range of ids" },
  { text: 'u a - "open', why: "a quote is not closed" },
  { text: "u a - %m", why: "the specifier %m is not known when an image is built" },
  { text: "u a - b /c /d e", why: "more than six fields" },
];

for (const { text, why } of malformed) {
  test(`parseSysusers refuses "${text}" by file, line and reason`, () => {
    assert.throws(
      () => parseSysusers("usr/lib/sysusers.d/a.conf", `\n${text}`),
      (error: unknown) => {
        assert(error instanceof ImageError);
        assert.equal(error.code, "package");
        assert.equal(error.facts.why, why);
        assert.equal(error.facts.line, 2);
        return true;
      },
    );
  });
}

test("parseSysusers reads any text or throws ImageError", () => {
  const word = fc.constantFrom(
    "u",
    "u!",
    "g",
    "m",
    "r",
    "-",
    "1:2",
    "a",
    '"',
    "'",
    "\\",
    "%",
    "/x",
  );
  const line = fc.oneof(
    fc.array(word, { maxLength: 8 }).map((all) => all.join(" ")),
    fc.string(),
  );
  fc.assert(
    fc.property(line, (text) => {
      try {
        parseSysusers("a", text);
      } catch (error) {
        assert(error instanceof ImageError, String(error));
      }
    }),
    { seed: 20261123, numRuns: 2000 },
  );
});
