import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ApplianceDefinition } from "../definition.ts";
import { alternativeLinks } from "./alternatives.ts";
import { certificateFiles } from "./ca.ts";
import { etcFiles } from "./etc.ts";
import type { ListedNode } from "./input.ts";
import { osReleaseText } from "./os-release.ts";
import type { Piece } from "./piece.ts";
import { machineIdFiles, stampFiles } from "./stamps.ts";
import { udevFiles } from "./udev.ts";

const definition: ApplianceDefinition = {
  name: "probe",
  title: 'The "Probe"',
  version: "0.1.0",
  release: "trixie",
  architecture: "amd64",
  components: ["main"],
  packages: [],
  excludeDependencies: {},
  kernel: { package: "linux-image-amd64", classes: [] },
  enable: [],
  defaultTarget: "multi-user.target",
  kernelCommandLine: [],
};

const node: ListedNode = { type: "file", mode: 0o644, uid: 0, gid: 0 };
const listed = (...paths: string[]) => new Map(paths.map((path) => [path, node]));

/** Path → text or `→ target`. */
function show(pieces: readonly Piece[]): Record<string, string> {
  return Object.fromEntries(
    pieces.map((piece) => {
      const text = piece.type === "symlink" ? `→ ${piece.target}` : "";
      return [piece.path, piece.type === "file" ? piece.text : text];
    }),
  );
}

test("osReleaseText names the appliance, says that it is like Debian, and drops its addresses", () => {
  const debian = [
    'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"',
    'VERSION_ID="13"',
    "VERSION_CODENAME=trixie",
    "ID=debian",
    'HOME_URL="https://www.example.org/"',
    "",
  ].join("\n");
  assert.deepEqual(osReleaseText(debian, definition).split("\n"), [
    'PRETTY_NAME="The \\"Probe\\" 0.1.0"',
    'NAME="The \\"Probe\\""',
    "ID=probe",
    "ID_LIKE=debian",
    "VERSION=0.1.0",
    "VERSION_ID=0.1.0",
    "VARIANT_ID=appliance",
    "IMAGE_ID=probe",
    "IMAGE_VERSION=0.1.0",
    "VERSION_CODENAME=trixie",
    "",
  ]);
});

test("osReleaseText gives one assignment per line whatever Debian's file says", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const line of osReleaseText(text, definition).trimEnd().split("\n")) {
        assert.match(line, /^[A-Z][A-Z0-9_]*=(?:[A-Za-z0-9._-]+|".*")$/);
      }
    }),
    { seed: 20261123, numRuns: 500 },
  );
});

test("etcFiles links only to what is in the image", () => {
  const without = show(etcFiles(definition, new Map(), new Map()));
  assert(!("etc/localtime" in without) && !("etc/resolv.conf" in without));
  assert(!("etc/systemd/logind.conf.d/00-appliance.conf" in without));
  const paths = ["usr/share/zoneinfo/Etc/UTC", "usr/lib/systemd/systemd-resolved"];
  const full = show(etcFiles(definition, listed(...paths), new Map()));
  assert.equal(full["etc/localtime"], "→ /usr/share/zoneinfo/Etc/UTC");
  assert.equal(full["etc/resolv.conf"], "→ ../run/systemd/resolve/stub-resolv.conf");
});

test("etcFiles makes the names, the shells that exist, root's files and the links", () => {
  const contents = new Map([["usr/share/base-files/dot.profile", "p\n"]]);
  const made = show(etcFiles(definition, listed("usr/bin/sh", "usr/bin/dash"), contents));
  assert.equal(made["etc/hostname"], "probe\n");
  assert.equal(
    made["etc/shells"],
    "# /etc/shells: valid login shells\n/bin/sh\n/usr/bin/sh\n/bin/dash\n/usr/bin/dash\n",
  );
  assert.equal(made["root/.profile"], "p\n");
  assert.equal(made["var/run"], "→ /run");
  assert.equal(made["var/lock"], "→ /run/lock");
  assert.equal(made.init, "→ usr/lib/systemd/systemd");
});

test("machineIdFiles has an empty file, which systemd does not take for a first boot", () => {
  assert.deepEqual(show(machineIdFiles()), {
    "etc/machine-id": "",
    "var/lib/dbus/machine-id": "→ /etc/machine-id",
  });
});

test("stampFiles holds the epoch in nanoseconds in both places", () => {
  const made = show(stampFiles(1_795_392_000));
  assert.deepEqual(Object.keys(made), ["etc/.updated", "var/.updated"]);
  assert.match(made["etc/.updated"]!, /^TIMESTAMP_NSEC=1795392000000000000$/m);
});

test("alternativeLinks takes the best choice, and no name that a package has", () => {
  assert.deepEqual(show(alternativeLinks(listed("usr/bin/mawk", "usr/bin/gawk"))), {
    "usr/bin/awk": "→ /etc/alternatives/awk",
    "etc/alternatives/awk": "→ /usr/bin/gawk",
    "usr/bin/nawk": "→ /etc/alternatives/nawk",
    "etc/alternatives/nawk": "→ /usr/bin/gawk",
  });
  assert.deepEqual(alternativeLinks(listed("usr/bin/less", "usr/bin/pager")), []);
});

test("certificateFiles joins certificates in order of path, each ended by a newline", () => {
  const folder = "usr/share/ca-certificates/mozilla/";
  const contents = new Map([
    [`${folder}b.crt`, "B"],
    [`${folder}a.crt`, "A\n"],
    [`${folder}README`, "no"],
  ]);
  assert.deepEqual(show(certificateFiles(contents)), {
    "etc/ssl/certs/ca-certificates.crt": "A\nB\n",
    "etc/ca-certificates.conf": "mozilla/a.crt\nmozilla/b.crt\n",
  });
  assert.deepEqual(certificateFiles(new Map()), []);
});

test("udevFiles overrides each rules file that asks for watch, and leaves the rest", () => {
  const folder = "usr/lib/udev/rules.d/";
  const contents = new Map([
    [`${folder}60-block.rules`, 'ACTION!="remove", \\\n  OPTIONS+="watch"\n'],
    [`${folder}55-dm.rules`, 'OPTIONS="watch", OPTIONS+="db_persist"\n'],
    [`${folder}60-drm.rules`, 'SUBSYSTEM=="drm"\n'],
  ]);
  const { pieces, notes } = udevFiles(contents);
  assert.deepEqual(show(pieces), {
    "etc/udev/rules.d/60-block.rules": 'ACTION!="remove", \\\n  OPTIONS+="nowatch"\n',
    "etc/udev/rules.d/55-dm.rules": 'OPTIONS="nowatch", OPTIONS+="db_persist"\n',
  });
  assert.deepEqual(notes, []);
});

test("udevFiles says so when udev's rules no longer ask where they did", () => {
  const { notes } = udevFiles(new Map([["usr/lib/udev/rules.d/60-block.rules", "x\n"]]));
  assert.deepEqual(
    notes.map((note) => note.code),
    ["capture"],
  );
});
