import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ImageError } from "../error.ts";
import {
  indexRecords,
  isArchivePath,
  joinIndices,
  parsePackages,
  recordFromControl,
  withBackports,
} from "./packages.ts";

const origin = { archive: "debian", suite: "trixie" };

function paragraph(name: string, version: string, extra = ""): string {
  return `Package: ${name}
Version: ${version}
Architecture: amd64
Description: some
 folded Provides: nothing
${extra}Filename: pool/main/${name}_${version}_amd64.deb
Size: 1000
SHA256: ${"0a".repeat(32)}
`;
}

function parse(text: string) {
  return parsePackages(new TextEncoder().encode(text), origin);
}

test("parsePackages finds packages by name, latest version first", () => {
  const index = parse(
    [
      paragraph("a", "1.9"),
      paragraph("b", "2", "Depends: a (>= 1)\nPriority: required\nSource: bb (3)\n"),
      paragraph("a", "1.10"),
    ].join("\n"),
  );
  assert.equal(index.packageCount, 3);
  assert.deepEqual(
    index.named("a").map(({ version }) => version),
    ["1.10", "1.9"],
  );
  assert.deepEqual(index.named("c"), []);
  assert.deepEqual(index.named("b"), [
    {
      name: "b",
      version: "2",
      architecture: "amd64",
      source: "bb (3)",
      priority: "required",
      depends: "a (>= 1)",
      preDepends: "",
      provides: "",
      conflicts: "",
      breaks: "",
      archive: "debian",
      suite: "trixie",
      path: "pool/main/b_2_amd64.deb",
      sizeBytes: 1000,
      sha256: "0a".repeat(32),
    },
  ]);
});

test("parsePackages finds providers, each under every name that it provides", () => {
  const index = parse(
    [
      paragraph("x", "1"),
      paragraph("mawk", "1", "Provides: awk, awk-lang (= 1.3), one:any\n"),
      paragraph("gawk", "1", "Provides: awk\n"),
      paragraph("y", "1"),
    ].join("\n"),
  );
  const providers = (name: string) => index.providersOf(name).map((record) => record.name);
  assert.deepEqual(providers("awk"), ["mawk", "gawk"]);
  assert.deepEqual(providers("awk-lang"), ["mawk"]);
  assert.deepEqual(providers("one"), ["mawk"]);
  assert.deepEqual(providers("nothing"), []);
});

test("parsePackages reads a file whatever its blank lines, ends and order of fields", () => {
  assert.equal(parse("").packageCount, 0);
  assert.equal(parse("\n\n\n").packageCount, 0);
  const late = paragraph("b", "1").replace("Architecture: amd64\n", "");
  const text = `\n\n${paragraph("a", "1")}\n\n\nArchitecture: all\n${late}`;
  const index = parse(text.trimEnd());
  assert.equal(index.packageCount, 2);
  assert.equal(index.named("b")[0]?.architecture, "all");
});

test("parsePackages refuses paragraphs that lack or garble a field", () => {
  const whole = paragraph("a", "1");
  const table = {
    "no name": whole.replace("Package: a\n", ""),
    "no version": whole.replace(/Version.*\n/, ""),
    "no hash": whole.replace(/SHA256.*\n/, ""),
    "short hash": whole.replace("0a0a", ""),
    "bad size": whole.replace("1000", "-1"),
    "path out of the mirror": whole.replace("pool/", "../"),
    "hidden path": whole.replace("pool/", "pool/./"),
    "query in a path": whole.replace("pool/", "pool/?x="),
    "no field": whole.replace("Size:", "Size"),
  };
  for (const [name, text] of Object.entries(table)) {
    assert.throws(
      () => parse(text).named("a"),
      (error) => error instanceof ImageError && error.code === "package",
      name,
    );
  }
});

test("isArchivePath keeps paths below the mirror", () => {
  for (const path of ["pool/main/g/g++/g++_4%3a14.2.0-1~x_amd64.deb"]) {
    assert.equal(isArchivePath(path.replace("%3a", ":")), true);
  }
  for (const path of ["", "/a", "a//b", "a/", "../a", "a/..", "a/.b", "a b", "a?b", "a#b", "é"]) {
    assert.equal(isArchivePath(path), false, path);
  }
});

test("joinIndices and indexRecords ask all their parts", () => {
  const local = recordFromControl("Package: a\nVersion: 3\nArchitecture: all\nProvides: z\n", {
    archive: "local",
    suite: "local",
    path: "a.deb",
    sizeBytes: 1,
    sha256: "00",
  });
  const index = joinIndices([
    parse(paragraph("a", "1", "Provides: z\n")),
    indexRecords([local]),
    parse(paragraph("a", "2")),
  ]);
  assert.equal(index.packageCount, 3);
  assert.deepEqual(
    index.named("a").map(({ version }) => version),
    ["3", "2", "1"],
  );
  assert.deepEqual(
    index.providersOf("z").map(({ version }) => version),
    ["1", "3"],
  );
});

test("withBackports takes what is named, and what the release does not have", () => {
  const release = parse([paragraph("a", "1", "Provides: z\n"), paragraph("b", "1")].join("\n"));
  const backports = parse(
    [
      paragraph("a", "2"),
      paragraph("b", "2", "Provides: y\n"),
      paragraph("b-2", "2", "Provides: x, z\n"),
    ].join("\n"),
  );
  const versions = (names: readonly string[]) => {
    const index = withBackports(release, backports, new Set(names));
    return {
      named: ["a", "b", "b-2"].map((name) => index.named(name).map(({ version }) => version)),
      provided: ["z", "y", "x"].map((name) => index.providersOf(name).map((one) => one.name)),
    };
  };
  assert.deepEqual(versions(["b"]), {
    named: [["1"], ["2"], ["2"]],
    provided: [["a"], ["b"], ["b-2"]],
  });
  assert.deepEqual(versions(["a", "b-2"]), {
    named: [["2"], ["1"], ["2"]],
    provided: [["a", "b-2"], ["b"], ["b-2"]],
  });
});

test("parsePackages gives records or an ImageError for any text", () => {
  const lines = fc.constantFrom(
    "Package: a",
    "Version: 1",
    "Architecture: all",
    "Filename: a/b",
    "Size: 1",
    `SHA256: ${"0".repeat(64)}`,
    "Provides: a, b (= 1)",
    " a",
    "",
    "x",
  );
  fc.assert(
    fc.property(fc.array(lines, { maxLength: 20 }), (chosen) => {
      try {
        const index = parse(chosen.join("\n"));
        assert.ok(index.named("a").every(({ name }) => name === "a"));
        index.providersOf("b");
      } catch (error) {
        assert.ok(error instanceof ImageError, String(error));
      }
    }),
    { seed: 20261123, numRuns: 2000 },
  );
});
