import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ImageError } from "../error.ts";
import type { ListedNode } from "./input.ts";
import { nearNames } from "./near.ts";
import { parseInstall, parseUnitName } from "./unit-file.ts";
import { findUnits } from "./unit-set.ts";
import { type UnitWishes, unitLinks } from "./units.ts";

const shipped = "usr/lib/systemd/system/";

/** Units as trixie's systemd and openssh-server have them, cut to what matters. */
const unitTexts: Readonly<Record<string, string>> = {
  "ssh.service": "[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n",
  "getty@.service": "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
  "systemd-networkd.service":
    "[Install]\nWantedBy=multi-user.target\nAlso=systemd-networkd.socket\n" +
    "Alias=dbus-org.freedesktop.network1.service\nAlso=gone.service\n",
  "systemd-networkd.socket": "[Install]\nWantedBy=sockets.target\n",
  "static.service": "[Service]\nExecStart=/bin/true\n",
  "modprobe@.service": "[Install]\nWantedBy=a.target\n",
  "needed.service": "[Install]\nRequiredBy=a.target \\\n  b.target\nUpheldBy=c.target\n",
  "volume@.service": "[Install]\nWantedBy=dev-%i.device\nAlias=%p-of-%i.service other@.service\n",
  "odd.service": "[Install]\nWantedBy=%H.target\n",
  "reset.service": "[Install]\nWantedBy=a.target\nWantedBy=\nWantedBy=b.target\n",
  "a.target": "[Unit]\n",
  "multi-user.target": "[Unit]\n",
  "fstrim.timer": "[Install]\nWantedBy=timers.target\n",
  "tpm.service": "[Service]\n",
};

const node = { mode: 0o644, uid: 0, gid: 0 };

function makeUnits(
  extra: Readonly<Record<string, string>> = {},
  links: Readonly<Record<string, string>> = {},
) {
  const listing = new Map<string, ListedNode>();
  const texts = new Map<string, string>(Object.entries(extra));
  for (const [name, text] of Object.entries(unitTexts)) {
    listing.set(shipped + name, { ...node, type: "file" });
    texts.set(shipped + name, text);
  }
  for (const [path, target] of Object.entries(links)) {
    listing.set(shipped + path, { ...node, type: "symlink", target });
  }
  return findUnits(listing, texts);
}

function plan(wishes: Partial<UnitWishes>, units = makeUnits()) {
  const { pieces, notes } = unitLinks(units, {
    enable: [],
    mask: [],
    defaultTarget: "a.target",
    defaultMasks: {},
    ...wishes,
  });
  const links = pieces.flatMap((piece) =>
    piece.type === "symlink" && !piece.path.endsWith("/default.target")
      ? [`${piece.path.slice("etc/systemd/system/".length)} ${piece.target}`]
      : [],
  );
  const preset = pieces.find((piece) => piece.path.endsWith(".preset"));
  assert(preset?.type === "file");
  return { links, pieces, notes, preset: preset.text.split("\n") };
}

/** Compared with `systemctl enable` of systemd 257 in a trixie tree. */
const enabled: { unit: string; links: string[] }[] = [
  {
    unit: "ssh.service",
    links: [
      "multi-user.target.wants/ssh.service /usr/lib/systemd/system/ssh.service",
      "sshd.service /usr/lib/systemd/system/ssh.service",
    ],
  },
  {
    unit: "getty@.service",
    links: ["getty.target.wants/getty@tty1.service /usr/lib/systemd/system/getty@.service"],
  },
  {
    unit: "getty@tty9.service",
    links: ["getty.target.wants/getty@tty9.service /usr/lib/systemd/system/getty@.service"],
  },
  {
    unit: "systemd-networkd.service",
    links: [
      "multi-user.target.wants/systemd-networkd.service /usr/lib/systemd/system/systemd-networkd.service",
      "dbus-org.freedesktop.network1.service /usr/lib/systemd/system/systemd-networkd.service",
      "sockets.target.wants/systemd-networkd.socket /usr/lib/systemd/system/systemd-networkd.socket",
    ],
  },
  {
    unit: "needed.service",
    links: [
      "a.target.requires/needed.service /usr/lib/systemd/system/needed.service",
      "b.target.requires/needed.service /usr/lib/systemd/system/needed.service",
      "c.target.upholds/needed.service /usr/lib/systemd/system/needed.service",
    ],
  },
  {
    unit: "volume@sda.service",
    links: [
      "dev-sda.device.wants/volume@sda.service /usr/lib/systemd/system/volume@.service",
      "volume-of-sda.service /usr/lib/systemd/system/volume@.service",
      "other@sda.service /usr/lib/systemd/system/volume@.service",
    ],
  },
  {
    unit: "reset.service",
    links: ["b.target.wants/reset.service /usr/lib/systemd/system/reset.service"],
  },
];

for (const { unit, links } of enabled) {
  test(`unitLinks enables ${unit} as systemctl does`, () => {
    assert.deepEqual(plan({ enable: [unit] }).links, links);
  });
}

const refused: { name: string; wishes: Partial<UnitWishes>; message: RegExp }[] = [
  {
    name: "a unit that is not there, naming near ones",
    wishes: { enable: ["shh.service"] },
    message: /no package or file brings this unit\. Near: ssh\.service/,
  },
  {
    name: "a unit without [Install]",
    wishes: { enable: ["static.service"] },
    message: /no \[Install\] section/,
  },
  {
    name: "a template without an instance",
    wishes: { enable: ["modprobe@.service"] },
    message: /Name one: modprobe@INSTANCE\.service/,
  },
  { name: "an unknown specifier", wishes: { enable: ["odd.service"] }, message: /uses %H/ },
  {
    name: "a unit enabled and masked",
    wishes: { enable: ["ssh.service"], mask: ["ssh.service"] },
    message: /masks it too/,
  },
  {
    name: "a default target that is not there",
    wishes: { defaultTarget: "diskomator.target" },
    message: /Cannot boot into diskomator\.target/,
  },
  { name: "a mask that is no unit", wishes: { mask: ["ssh"] }, message: /no name of a unit/ },
];

for (const { name, wishes, message } of refused) {
  test(`unitLinks refuses ${name}`, () => {
    assert.throws(
      () => plan(wishes),
      (error: unknown) =>
        error instanceof ImageError && error.code === "definition" && message.test(error.message),
    );
  });
}

test("unitLinks refuses a unit that its package masks", () => {
  const units = makeUnits({}, { "hwclock.service": "/dev/null" });
  assert.throws(() => plan({ enable: ["hwclock.service"] }, units), /its package masks it/);
});

test("unitLinks refuses two units that want the same alias", () => {
  const units = makeUnits({
    "etc/systemd/system/mine.service": "[Install]\nAlias=sshd.service\n",
  });
  assert.throws(
    () => plan({ enable: ["ssh.service", "mine.service"] }, units),
    /sshd\.service already leads to \/usr\/lib\/systemd\/system\/ssh\.service/,
  );
});

test("unitLinks says what Also= enabled and what it did not find", () => {
  const { notes } = plan({ enable: ["systemd-networkd.service"] });
  assert.deepEqual(
    notes.map((note) => `${note.code} ${note.subject}`),
    ["also systemd-networkd.socket", "also gone.service"],
  );
});

test("unitLinks prefers a unit of the definition, its drop-ins and its folder", () => {
  const units = makeUnits({
    "etc/systemd/system/ssh.service": "[Install]\nWantedBy=x.target\n",
    "etc/systemd/system/ssh.service.d/10.conf": "[Install]\nWantedBy=y.target\n",
    [`${shipped}ssh.service.d/10.conf`]: "[Install]\nWantedBy=hidden.target\n",
    [`${shipped}ssh.service.d/20.conf`]: "[Install]\nWantedBy=z.target\n",
  });
  assert.deepEqual(
    plan({ enable: ["ssh.service"] }, units).links,
    ["x", "y", "z"].map(
      (target) => `${target}.target.wants/ssh.service /etc/systemd/system/ssh.service`,
    ),
  );
});

test("unitLinks enables the unit behind a shipped alias", () => {
  const units = makeUnits({}, { "sshd.service": "ssh.service" });
  const { links } = plan({ enable: ["sshd.service"] }, units);
  assert(links.includes("multi-user.target.wants/ssh.service /usr/lib/systemd/system/ssh.service"));
});

test("unitLinks masks by default what is there, unless the definition enables it", () => {
  const defaultMasks = { "fstrim.timer": "", "tpm.service": "", "absent.service": "" };
  assert.deepEqual(plan({ defaultMasks }).links, [
    "fstrim.timer /dev/null",
    "tpm.service /dev/null",
  ]);
  const enable = ["fstrim.timer", "tpm.service"];
  assert.deepEqual(plan({ defaultMasks, enable }).links, [
    "timers.target.wants/fstrim.timer /usr/lib/systemd/system/fstrim.timer",
  ]);
});

test("unitLinks notes a mask of nothing, and refuses one over a file of the definition", () => {
  const { links, notes } = plan({ mask: ["ghost.timer"] });
  assert.deepEqual(links, ["ghost.timer /dev/null"]);
  assert.equal(notes[0]?.code, "mask");
  const units = makeUnits({ "etc/systemd/system/mine.service": "[Install]\n" });
  assert.throws(() => plan({ mask: ["mine.service"] }, units), /has a file at/);
});

test("unitLinks writes a preset that names what is enabled and then nothing", () => {
  assert.deepEqual(plan({ enable: ["ssh.service", "getty@.service"] }).preset.slice(1), [
    "enable a.target",
    "enable getty@.service tty1",
    "enable ssh.service",
    "disable *",
    "",
  ]);
});

test("unitLinks notes each unit that a shipped link starts, once, outside the initrd", () => {
  const units = makeUnits(
    {},
    {
      "sysinit.target.wants/static.service": "../static.service",
      "basic.target.wants/static.service": "../static.service",
      "initrd.target.wants/ssh.service": "../ssh.service",
      "timers.target.wants/fstrim.timer": "../fstrim.timer",
    },
  );
  const { notes } = plan({ defaultMasks: { "fstrim.timer": "" } }, units);
  assert.deepEqual(
    notes.map((note) => `${note.code} ${note.subject}`),
    ["shipped-link static.service"],
  );
});

test("parseInstall ignores other sections, comments and odd lines, whatever the text", () => {
  assert.deepEqual(
    parseInstall([
      "[Unit]\nWantedBy=no\n[Install]\n# WantedBy=no\n;Alias=no\nrubbish\nAlso = a b\n",
    ]).also,
    ["a", "b"],
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      parseInstall([`[Install]\n${text}`]);
    }),
    { seed: 20261123, numRuns: 500 },
  );
});

const names: { text: string; value: ReturnType<typeof parseUnitName> }[] = [
  { text: "a.service", value: { prefix: "a", suffix: "service" } },
  { text: "a@.service", value: { prefix: "a", instance: "", suffix: "service" } },
  { text: "a@b.c.socket", value: { prefix: "a", instance: "b.c", suffix: "socket" } },
  { text: "a.conf", value: undefined },
  { text: "@b.service", value: undefined },
];

for (const { text, value } of names) {
  test(`parseUnitName takes ${text} apart`, () => {
    assert.deepEqual(parseUnitName(text), value);
  });
}

test("nearNames gives at most three, nearest first", () => {
  const candidates = ["sshd.service", "ssh.service", "ssh.socket", "ssh@.service", "udev.service"];
  assert.deepEqual(nearNames("shh.service", candidates)[0], "ssh.service");
  assert.equal(nearNames("ssh.servic", candidates).length, 3);
  assert.deepEqual(nearNames("zzzzzzzz.path", candidates), []);
});
