import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { ImageError } from "../error.ts";
import { findMirrors } from "./driver-apt.ts";
import { chooseMirrors, parseDeb822Sources, parseOneLineSources } from "./sources.ts";

test("parseOneLineSources reads options, comments and paths; passes over the rest", () => {
  const sources = parseOneLineSources(
    [
      "# deb http://off.example.org/debian trixie main",
      "deb http://a.example.org/debian trixie main contrib # why",
      "deb-src http://a.example.org/debian trixie main",
      "  deb [ arch=amd64 signed-by=/k.gpg ] https://b.example.org/debian/ trixie main",
      "deb [trusted=yes]http://c.example.org/x ./",
      "deb",
      "nonsense",
    ].join("\n"),
  );
  assert.deepEqual(sources, [
    {
      uri: "http://a.example.org/debian",
      suites: ["trixie"],
      components: ["main", "contrib"],
      signedBy: "",
    },
    {
      uri: "https://b.example.org/debian/",
      suites: ["trixie"],
      components: ["main"],
      signedBy: "/k.gpg",
    },
    { uri: "http://c.example.org/x", suites: ["./"], components: [], signedBy: "" },
  ]);
});

test("parseDeb822Sources reads lists of values; passes over disabled and source entries", () => {
  const text = `
# a comment
Types: deb deb-src
URIs: http://a.example.org/debian http://b.example.org/debian
Suites: trixie trixie-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
Enabled: No
URIs: http://off.example.org/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://src.example.org/debian
Suites: trixie
Components: main
`;
  const sources = parseDeb822Sources(text);
  assert.deepEqual(
    sources.map(({ uri, suites }) => [uri, ...suites]),
    [
      ["http://a.example.org/debian", "trixie", "trixie-updates"],
      ["http://b.example.org/debian", "trixie", "trixie-updates"],
    ],
  );
  assert.match(sources[0]!.signedBy, /PUBLIC KEY/);
  assert.deepEqual(parseDeb822Sources("no deb822 at all"), []);
});

const mirrorTable: readonly { name: string; list: string; debian: string; security: string }[] = [
  {
    name: "the folders' names",
    list: `deb http://m.example.org/debian/ trixie main
deb http://s.example.org/debian-security/ trixie-security main`,
    debian: "http://m.example.org/debian",
    security: "http://s.example.org/debian-security",
  },
  {
    name: "only code names",
    list: `deb http://m.example.org/deb/13 trixie main
deb http://m.example.org/sec/13 trixie-security updates/main`,
    debian: "http://m.example.org/deb/13",
    security: "http://m.example.org/sec/13",
  },
  {
    name: "others who publish below /debian, and a key that tells Debian from them",
    list: `deb https://docker.example.org/linux/debian trixie stable
deb [signed-by=/usr/share/keyrings/vpn.gpg] https://vpn.example.org/stable/debian trixie main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://m.example.org/debian trixie main`,
    debian: "http://m.example.org/debian",
    security: "http://m.example.org/debian-security",
  },
  {
    name: "media and local folders are no mirrors",
    list: `deb cdrom:[Debian 13]/ trixie main
deb file:/srv/debian trixie main
deb http://m.example.org/debian sid main`,
    debian: "http://m.example.org/debian",
    security: "http://m.example.org/debian-security",
  },
];

test("chooseMirrors picks Debian's mirrors among apt's sources", () => {
  for (const { name, list, debian, security } of mirrorTable) {
    const mirrors = chooseMirrors(parseOneLineSources(list), {});
    assert.deepEqual(mirrors, { debian, "debian-security": security }, name);
  }
});

test("chooseMirrors takes options first, and makes the security mirror a sibling", () => {
  const sources = parseOneLineSources(mirrorTable[0]!.list);
  const told = chooseMirrors(sources, { mirror: "https://x.example.org/debian/" });
  assert.deepEqual(told, {
    debian: "https://x.example.org/debian",
    "debian-security": "https://x.example.org/debian-security",
  });
  const both = chooseMirrors([], {
    mirror: "http://x.example.org/a",
    securityMirror: "http://x.example.org/b",
  });
  assert.deepEqual(both, {
    debian: "http://x.example.org/a",
    "debian-security": "http://x.example.org/b",
  });
  const one = chooseMirrors(sources, { securityMirror: "http://x.example.org/b" });
  assert.equal(one.debian, "http://m.example.org/debian");
  assert.equal(one["debian-security"], "http://x.example.org/b");
});

test("chooseMirrors refuses, naming the option that helps", () => {
  const ubuntu = parseOneLineSources("deb http://m.example.org/ubuntu noble main");
  const table = [
    { sources: [], options: {}, message: /--mirror URL/ },
    { sources: ubuntu, options: {}, message: /--mirror URL/ },
    { sources: [], options: { mirror: "ftp://x.example.org/debian" }, message: /with --mirror/ },
    {
      sources: [],
      options: { mirror: "http://x.example.org/d" },
      message: /beside a --mirror that ends in \/debian, .* --security-mirror URL/,
    },
  ];
  for (const { sources, options, message } of table) {
    assert.throws(
      () => chooseMirrors(sources, options),
      (error) =>
        error instanceof ImageError && error.code === "mirror" && message.test(error.message),
    );
  }
});

test("the source parsers give a list for any text", () => {
  const text = fc.string({ unit: fc.constantFrom(..."deb []:/#\nhtps URIsTy"), maxLength: 80 });
  fc.assert(
    fc.property(text, (value) => {
      assert.ok(Array.isArray(parseOneLineSources(value)));
      assert.ok(Array.isArray(parseDeb822Sources(value)));
    }),
    { seed: 20261123, numRuns: 2000 },
  );
});

test("findMirrors reads both kinds of files and lists of mirrors, in apt's order", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "diskomator-apt-"));
  t.after(() => rm(directory, { recursive: true }));
  const parts = join(directory, "sources.list.d");
  await mkdir(parts);
  const list = join(directory, "security.txt");
  await writeFile(list, "# mirrors\nhttps://s.example.org/debian-security\tpriority:1\n");
  await writeFile(
    join(parts, "debian.sources"),
    `Types: deb\nURIs: mirror+file://${list}\nSuites: trixie-security\nComponents: main\n`,
  );
  await writeFile(join(parts, "old.list.save"), "deb http://no.example.org/debian trixie main\n");
  await writeFile(join(parts, "z.list"), "deb http://m.example.org/debian trixie main\n");
  assert.deepEqual(await findMirrors({ directory }), {
    debian: "http://m.example.org/debian",
    "debian-security": "https://s.example.org/debian-security",
  });
});

test("findMirrors names the option where there is no apt", async () => {
  await assert.rejects(
    findMirrors({ directory: join(tmpdir(), "diskomator-no-such-folder") }),
    /Give one with --mirror URL/,
  );
});
