import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ImageError } from "../error.ts";
import { indexRecords, type PackageRecord, recordFromControl } from "./packages.ts";
import type { Problem, Resolution } from "./resolution.ts";
import { type ResolveRequest, resolvePackages } from "./resolve.ts";

/** `name version` and further control fields, one package each. */
function records(list: readonly (readonly [string, string?])[]): PackageRecord[] {
  return list.map(([title, fields = ""]) => {
    const [name = "", version = "1"] = title.split(" ");
    const control = `Package: ${name}\nVersion: ${version}\nArchitecture: amd64\n${fields}\n`;
    return recordFromControl(control, {
      archive: "debian",
      suite: "trixie",
      path: `${name}.deb`,
      sizeBytes: 1,
      sha256: createHash("sha256").update(control).digest("hex"),
    });
  });
}

type Changes = Partial<Omit<ResolveRequest, "index" | "local">> & {
  readonly local?: readonly (readonly [string, string?])[];
};

function resolve(
  archive: readonly (readonly [string, string?])[],
  wanted: readonly string[],
  { local, ...changes }: Changes = {},
): Resolution {
  return resolvePackages({
    appliance: "box",
    architecture: "amd64",
    index: indexRecords(records(archive)),
    wanted,
    excludeDependencies: {},
    ...(local === undefined ? {} : { local: indexRecords(records(local)) }),
    ...changes,
  });
}

function shown(resolution: Resolution): string {
  return resolution.packages.map(({ record }) => `${record.name} ${record.version}`).join(", ");
}

function refused(run: () => Resolution): ImageError & { readonly problems: readonly Problem[] } {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ImageError, String(error));
    return Object.assign(error, { problems: error.facts.problems as readonly Problem[] });
  }
  assert.fail("it was resolved");
}

const table: readonly {
  name: string;
  archive: readonly (readonly [string, string?])[];
  wanted: readonly string[];
  changes?: Changes;
  packages: string;
}[] = [
  {
    name: "Depends and Pre-Depends, not Recommends, cycles included",
    archive: [
      ["a", "Depends: b\nPre-Depends: c\nRecommends: d\nSuggests: d"],
      ["b", "Depends: a"],
      ["c"],
      ["d"],
      ["libc6", "Essential: yes"],
    ],
    wanted: ["a"],
    packages: "a 1, b 1, c 1",
  },
  {
    name: "the latest version of all suites",
    archive: [["a 1.9"], ["a 1.10~rc1"], ["a 1.10", "Depends: b (>= 2)"], ["b 2"], ["b 1"]],
    wanted: ["a"],
    packages: "a 1.10, b 2",
  },
  {
    name: "a local package before a later one",
    archive: [
      ["a 2", "Depends: gone"],
      ["b", "Depends: a"],
    ],
    wanted: ["b"],
    changes: { local: [["a 1+local", "Depends: c"], ["c"]] },
    packages: "a 1+local, b 1, c 1",
  },
  {
    name: "the first alternative that can be had",
    archive: [["a", "Depends: x | b (>= 2) | c | d"], ["b 1"], ["c"], ["d"]],
    wanted: ["a"],
    packages: "a 1, c 1",
  },
  {
    name: "an alternative that is wanted anyway",
    archive: [["a", "Depends: b | z"], ["b"], ["z"]],
    wanted: ["a", "z"],
    packages: "a 1, z 1",
  },
  {
    name: "an alternative that comes in later without a choice",
    archive: [["a", "Depends: b | d, c"], ["b"], ["c", "Depends: e"], ["d"], ["e", "Depends: d"]],
    wanted: ["a"],
    packages: "a 1, c 1, d 1, e 1",
  },
  {
    name: "a virtual package by the one provider that is in",
    archive: [
      ["a", "Depends: awk"],
      ["gawk", "Provides: awk\nPriority: optional"],
      ["mawk", "Provides: awk\nPriority: required"],
    ],
    wanted: ["a", "gawk"],
    packages: "a 1, gawk 1",
  },
  {
    name: "a virtual package by priority, then by name",
    archive: [
      ["a", "Depends: awk, mta"],
      ["gawk", "Provides: awk\nPriority: optional"],
      ["mawk", "Provides: awk\nPriority: required"],
      ["postfix", "Provides: mta"],
      ["exim", "Provides: mta"],
    ],
    wanted: ["a"],
    packages: "a 1, exim 1, mawk 1",
  },
  {
    name: "versioned provides, and no unversioned one for a versioned relation",
    archive: [
      ["a", "Depends: v (>= 2)"],
      ["p1", "Provides: v"],
      ["p2", "Provides: v (= 1)"],
      ["p3", "Provides: v (= 2)"],
    ],
    wanted: ["a"],
    packages: "a 1, p3 1",
  },
  {
    name: "a package of that name before one that provides it",
    archive: [["a", "Depends: v"], ["b", "Provides: v\nPriority: required"], ["v"]],
    wanted: ["a"],
    packages: "a 1, v 1",
  },
  {
    name: "providers by their latest version only",
    archive: [
      ["a", "Depends: v"],
      ["b 1", "Provides: v"],
      ["b 2"],
      ["c", "Provides: v\nPriority: extra"],
    ],
    wanted: ["a"],
    packages: "a 1, c 1",
  },
  {
    name: "qualifiers and architecture lists",
    archive: [["a", "Depends: b:any, c:amd64, d [i386], e:i386 | f"], ["b"], ["c"], ["e"], ["f"]],
    wanted: ["a"],
    packages: "a 1, b 1, c 1, f 1",
  },
  {
    name: "exclusions by name, in alternatives, and of a preferred provider",
    archive: [
      ["a", "Depends: debconf (>= 0.5) | debconf-2.0, initramfs-tools | dracut, awk"],
      ["debconf 1.5", "Depends: perl\nProvides: debconf-2.0"],
      ["cdebconf", "Provides: debconf-2.0"],
      ["initramfs-tools"],
      ["dracut"],
      ["gawk", "Provides: awk"],
      ["mawk", "Provides: awk\nPriority: required"],
    ],
    wanted: ["a"],
    changes: { excludeDependencies: { debconf: "1", "initramfs-tools": "2", mawk: "3" } },
    packages: "a 1",
  },
  {
    name: "a conflict with what the package itself provides",
    archive: [["a", "Provides: v\nConflicts: v\nBreaks: b (<< 2)"], ["b 2"]],
    wanted: ["a", "b"],
    packages: "a 1, b 2",
  },
];

test("resolvePackages chooses as its rules say, in whatever order names are wanted", () => {
  for (const { name, archive, wanted, changes, packages } of table) {
    assert.equal(shown(resolve(archive, wanted, changes)), packages, name);
    const reversed = resolve([...archive].reverse(), [...wanted].reverse(), changes);
    assert.equal(shown(reversed), packages, `${name}, reversed`);
  }
});

test("resolvePackages says why each package is in, and what was left out", () => {
  const resolution = resolve([["a", "Depends: b | c, d"], ["b", "Depends: d"], ["c"]], ["a"], {
    excludeDependencies: { d: "a script's need" },
  });
  assert.deepEqual(
    resolution.packages.map(({ reason }) => reason),
    [{ kind: "wanted" }, { kind: "dependency", of: "a", relation: "b | c" }],
  );
  assert.deepEqual(resolution.leftOut, [
    { name: "d", reason: "a script's need", askedBy: ["a", "b"] },
  ]);
});

test("resolvePackages names all that is missing, with chain and find", () => {
  const error = refused(() =>
    resolve(
      [
        ["ssh", "Depends: libfoo (>= 2), mid"],
        ["mid", "Depends: deep | deeper (= 1)"],
        ["libfoo 1.9"],
        ["deeper 2"],
        ["gawk", "Provides: awk"],
      ],
      ["ssh", "nope", "awk"],
      { excludeDependencies: { idle: "not named while something is missing" } },
    ),
  );
  assert.equal(error.code, "unsatisfied");
  assert.match(error.message, /box → ssh → libfoo \(>= 2\): found libfoo 1.9\n/);
  assert.match(error.message, /box → ssh → mid → deep \| deeper \(= 1\): found deeper 2\n/);
  assert.match(error.message, /nope is wanted, and there is no package of this name\n/);
  assert.match(error.message, /awk is wanted, and is only provided by gawk: name one of these\n/);
  assert.equal(error.problems.length, 4);
});

test("resolvePackages names both sides of each conflict", () => {
  const error = refused(() =>
    resolve(
      [
        ["a", "Depends: b"],
        ["b", "Conflicts: mta\nBreaks: d (<< 2), e"],
        ["c", "Depends: d"],
        ["d 1", "Provides: mta"],
      ],
      ["a", "c"],
    ),
  );
  assert.equal(error.code, "unsatisfied");
  assert.deepEqual(
    error.problems.map((problem) =>
      problem.kind === "conflict"
        ? [problem.verb, ...problem.chain, problem.relation, problem.other, ...problem.otherChain]
        : problem,
    ),
    [
      ["conflicts with", "box", "a", "b", "mta", "d 1", "box", "c", "d"],
      ["breaks", "box", "a", "b", "d (<< 2)", "d 1", "box", "c", "d"],
    ],
  );
});

test("resolvePackages refuses exclusions that nothing asks for, or that are wanted too", () => {
  const error = refused(() =>
    resolve([["a", "Depends: b"], ["b"]], ["a"], { excludeDependencies: { c: "why", b: "why" } }),
  );
  assert.equal(error.code, "definition");
  assert.deepEqual(error.problems, [{ kind: "idle-exclusion", name: "c" }]);

  const both = refused(() => resolve([["a"]], ["a"], { excludeDependencies: { a: "why" } }));
  assert.equal(both.code, "definition");
  assert.deepEqual(both.problems, [{ kind: "wanted-and-excluded", name: "a" }]);
});
