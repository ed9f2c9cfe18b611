import assert from "node:assert/strict";
import { posix } from "node:path";
import { test } from "node:test";
import type { ApplianceDefinition } from "../definition.ts";
import type { Entry } from "../entry.ts";
import { ImageError } from "../error.ts";
import {
  capturePatterns,
  defaultMasks,
  dropPaths,
  type ExtraFile,
  type FinishInput,
  finishTree,
  type ListedNode,
} from "./index.ts";
import { parseUnitName } from "./unit-file.ts";

const epochSeconds = 1_795_392_000;
const utf8 = new TextEncoder();

/** The least tree that boots into something, as packages would have unpacked it. */
const shippedTexts: Readonly<Record<string, string>> = {
  "usr/lib/sysusers.d/basic.conf":
    "g shadow 42 -\ng mail 8 -\nu root 0 - /root /bin/bash\nu daemon 1\n",
  "usr/lib/sysusers.d/dbus.conf": "u messagebus -\n",
  "usr/lib/os-release": "ID=debian\n",
  "usr/lib/systemd/system/multi-user.target": "[Unit]\n",
  "usr/lib/systemd/system/ssh.service": "[Install]\nWantedBy=multi-user.target\n",
  "usr/lib/systemd/system/ldconfig.service": "[Service]\n",
  "usr/sbin/sshd": "",
  "usr/bin/bash": "",
  "usr/lib/dbus-1.0/dbus-daemon-launch-helper": "",
};

const directories: Readonly<Record<string, ListedNode>> = {
  etc: { type: "directory", mode: 0o755, uid: 0, gid: 0 },
  root: { type: "directory", mode: 0o700, uid: 0, gid: 0 },
  "var/spool": { type: "directory", mode: 0o2750, uid: 1, gid: 1 },
  "etc/credstore": { type: "directory", mode: 0o755, uid: 0, gid: 0 },
};

const definition: ApplianceDefinition = {
  name: "probe",
  title: "Probe",
  version: "1",
  release: "trixie",
  architecture: "amd64",
  components: ["main"],
  packages: [],
  excludeDependencies: {},
  kernel: { package: "linux-image-amd64", classes: [] },
  enable: ["ssh.service"],
  defaultTarget: "multi-user.target",
  kernelCommandLine: [],
};

function makeInput(
  files: Readonly<Record<string, ExtraFile>> = {},
  changes: Partial<FinishInput> = {},
): FinishInput {
  const listing = new Map(Object.entries(directories));
  const contents = new Map<string, string>();
  for (const [path, text] of Object.entries(shippedTexts)) {
    listing.set(path, { type: "file", mode: 0o644, uid: 0, gid: 0 });
    if (capturePatterns.some((glob) => posix.matchesGlob(path, glob))) {
      contents.set(path, text);
    }
  }
  const ids = { messagebus: 500 };
  const extra = new Map(Object.entries(files));
  return { definition, listing, contents, ids, epochSeconds, files: extra, ...changes };
}

const text = (content: string): ExtraFile => ({ content: utf8.encode(content) });

function byPath(entries: readonly Entry[]): Map<string, Entry> {
  return new Map(entries.map((entry) => [entry.path, entry]));
}

function textOf(entry: Entry | undefined): string {
  assert(entry?.type === "file");
  return new TextDecoder().decode(entry.data);
}

test("finishTree gives sorted, unique entries with every parent before its children", () => {
  const { entries } = finishTree(makeInput({ "opt/deep/er/file": text("x") }));
  const paths = entries.map((entry) => entry.path);
  assert.deepEqual(paths, [...new Set(paths)].sort());
  const seen = new Set<string>();
  for (const path of paths) {
    const parent = posix.dirname(path);
    assert(parent === "." || seen.has(parent), path);
    seen.add(path);
  }
  assert(entries.every((entry) => entry.mtimeSeconds === epochSeconds));
});

test("finishTree gives the same entries for the same input in another order", () => {
  const input = makeInput({ "etc/b": text("b"), "etc/a": text("a") });
  const reversed = makeInput(
    { "etc/a": text("a"), "etc/b": text("b") },
    {
      listing: new Map([...input.listing].reverse()),
      contents: new Map([...input.contents].reverse()),
    },
  );
  assert.deepEqual(finishTree(reversed), finishTree(input));
});

test("finishTree brings nothing back that filters keep out, or that the definition replaces", () => {
  const folder = "usr/lib/udev/rules.d/";
  const unit = "usr/lib/systemd/system/gone.service";
  const own = {
    [`${folder}60-block.rules`]: text('OPTIONS+="watch" # ours\n'),
    [`${folder}61-masked.rules`]: { content: { symlink: "/dev/null" } },
  };
  const input = makeInput(own);
  const listing = new Map(input.listing);
  const contents = new Map(input.contents).set(unit, "[Install]\nWantedBy=multi-user.target\n");
  for (const name of ["60-block.rules", "61-masked.rules", "63-md-raid-arrays.rules"]) {
    contents.set(folder + name, 'OPTIONS+="watch" # theirs\n');
    if (!(folder + name in dropPaths)) {
      listing.set(folder + name, { type: "file", mode: 0o644, uid: 0, gid: 0 });
    }
  }
  const entries = byPath(finishTree({ ...input, listing, contents }).entries);
  assert.equal(
    textOf(entries.get("etc/udev/rules.d/60-block.rules")),
    'OPTIONS+="nowatch" # ours\n',
  );
  assert.equal(entries.has("etc/udev/rules.d/61-masked.rules"), false);
  assert.equal(entries.has("etc/udev/rules.d/63-md-raid-arrays.rules"), false);
  const enable = ["gone.service"];
  assert.throws(
    () => finishTree({ ...input, listing, contents, definition: { ...definition, enable } }),
    {
      code: "definition",
      message: /no package or file brings this unit/,
    },
  );
});

test("finishTree emits a package's directory again as the package or its script has it", () => {
  const entries = byPath(finishTree(makeInput({ "etc/credstore/a": text("") })).entries);
  const owner = (path: string) => {
    const { mode, uid, gid } = entries.get(path)!;
    return [mode, uid, gid];
  };
  assert.deepEqual(owner("var/spool"), [0o2750, 1, 1]);
  assert.deepEqual(owner("etc/credstore"), [0o700, 0, 0]);
  assert.deepEqual(owner("var/mail"), [0o2775, 0, 8]);
  assert.deepEqual(owner("var"), [0o755, 0, 0]);
  assert.deepEqual(owner("etc/shadow"), [0o640, 0, 42]);
});

test("finishTree emits a folder whose mode its package's script would have changed", () => {
  const wrong = { type: "directory", mode: 0o755, uid: 0, gid: 0 } as const;
  const input = makeInput();
  const has = (mode: number) => {
    const listing = new Map([...input.listing, ["etc/credstore", { ...wrong, mode }]] as const);
    return byPath(finishTree({ ...input, listing }).entries).get("etc/credstore")?.mode;
  };
  assert.equal(has(0o755), 0o700);
  assert.equal(has(0o700), undefined);
});

test("finishTree keeps the lock's ids and uses them for owners", () => {
  const finished = finishTree(makeInput());
  assert.equal(finished.ids.messagebus, 500);
  assert.deepEqual(finished.modeOverrides.get("usr/lib/dbus-1.0/dbus-daemon-launch-helper"), {
    mode: 0o4754,
    uid: 0,
    gid: 500,
  });
});

test("finishTree lets the definition's files win, with owners by name and a note", () => {
  const own: ExtraFile = { ...text("mine\n"), mode: 0o600, owner: "daemon", group: "shadow" };
  const finished = finishTree(
    makeInput({ "etc/hosts": own, "etc/link": { content: { symlink: "x" } } }),
  );
  const entries = byPath(finished.entries);
  const hosts = entries.get("etc/hosts");
  assert.equal(textOf(hosts), "mine\n");
  assert.deepEqual([hosts!.mode, hosts!.uid, hosts!.gid], [0o600, 1, 42]);
  const link = entries.get("etc/link");
  assert(link?.type === "symlink" && link.target === "x");
  assert(finished.notes.some((note) => note.code === "override" && note.subject === "etc/hosts"));
});

test("finishTree reads units and accounts from the definition's files", () => {
  const finished = finishTree(
    makeInput(
      {
        "etc/systemd/system/mine.service": text("[Install]\nWantedBy=multi-user.target\n"),
        "usr/lib/sysusers.d/mine.conf": text("u mine 4711\n"),
        "var/mine": { ...text(""), owner: "mine" },
      },
      { definition: { ...definition, enable: ["mine.service"] } },
    ),
  );
  const entries = byPath(finished.entries);
  const link = entries.get("etc/systemd/system/multi-user.target.wants/mine.service");
  assert(link?.type === "symlink" && link.target === "/etc/systemd/system/mine.service");
  assert.equal(entries.get("var/mine")?.uid, 4711);
});

test("finishTree enables the host key with the server and masks work that the build has done", () => {
  const entries = byPath(finishTree(makeInput()).entries);
  assert(entries.has("etc/systemd/system/ssh.service.requires/diskomator-hostkeys.service"));
  const mask = entries.get("etc/systemd/system/ldconfig.service");
  assert(mask?.type === "symlink" && mask.target === "/dev/null");
});

test("finishTree gives root a shell that exists", () => {
  const passwd = (input: FinishInput) =>
    textOf(byPath(finishTree(input).entries).get("etc/passwd")).split("\n")[0];
  assert.equal(passwd(makeInput()), "root:x:0:0::/root:/bin/bash");
  const listing = new Map(makeInput().listing);
  listing.delete("usr/bin/bash");
  assert.equal(passwd(makeInput({}, { listing })), "root:x:0:0::/root:/bin/sh");
});

test("finishTree says that an fstab would not be read", () => {
  const { notes } = finishTree(makeInput({ "etc/fstab": text("") }));
  assert(notes.some((note) => note.code === "unread-file" && note.subject === "etc/fstab"));
});

const refused: { name: string; files: Record<string, ExtraFile>; message: RegExp }[] = [
  {
    name: "a path below an alias of merged /usr",
    files: { "bin/x": text("") },
    message: /Write usr\/bin\/x\./,
  },
  { name: "a path with a leading slash", files: { "/etc/x": text("") }, message: /etc\/name/ },
  { name: "a path with ..", files: { "etc/../x": text("") }, message: /etc\/name/ },
  {
    name: "a path below a file",
    files: { "usr/bin/bash/x": text("") },
    message: /usr\/bin\/bash is a file/,
  },
  {
    name: "an owner that nobody declares",
    files: { "etc/x": { ...text(""), owner: "deamon" } },
    message: /Near: daemon/,
  },
];

for (const { name, files, message } of refused) {
  test(`finishTree refuses ${name}`, () => {
    assert.throws(
      () => finishTree(makeInput(files)),
      (error: unknown) =>
        error instanceof ImageError && error.code === "definition" && message.test(error.message),
    );
  });
}

test("finishTree refuses a tree in which nothing declares root", () => {
  assert.throws(
    () => finishTree(makeInput({}, { contents: new Map() })),
    (error: unknown) => error instanceof ImageError && /declares root/.test(error.message),
  );
});

test("dropPaths and defaultMasks give a reason for each path and unit", () => {
  for (const [path, reason] of Object.entries(dropPaths)) {
    assert.match(path, /^(?:usr|etc|var)\/[^/]/);
    assert.match(reason, /\.$/, path);
  }
  for (const [unit, reason] of Object.entries(defaultMasks)) {
    assert(parseUnitName(unit) !== undefined, unit);
    assert.match(reason, /\.$/, unit);
  }
});
