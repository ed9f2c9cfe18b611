/**
 * Which maintainer scripts were read by a person, and what became of what they do. A script that
 * changes, or a new one that looks as if it did something, is reported when the lock is updated.
 */

import type { LockedPackage, MaintainerScript } from "../lock.ts";
import type { Note } from "./input.ts";

const notNeeded = "Nothing needed: upgrades from earlier releases, or a running system, only.";
const diversion = "Nothing needed: diversions for upgrades to merged /usr.";

/** Package → what its scripts do and who does it here. Read from trixie's packages. */
export const reviewedScripts: Readonly<Record<string, string>> = {
  adduser: "Nothing needed: its own configuration file, on upgrades.",
  apt: "The account _apt comes from systemd's basic.conf.",
  "base-files": "etc.ts: folders, profile, links; dropPaths: var/run, var/lock.",
  "base-passwd": "sysusers.ts: the same accounts are in systemd's basic.conf.",
  bash: "Nothing needed: /bin/sh is dash's.",
  "ca-certificates": "ca.ts makes the bundle.",
  cpio: "Left out: the alternative mt.",
  dash: diversion,
  dbus: "modes.ts: the launch helper is root:messagebus 4754.",
  "dbus-daemon": "stamps.ts: /var/lib/dbus/machine-id.",
  "dbus-system-bus-common": "sysusers.ts: messagebus.",
  debianutils: "alternatives.ts: which; etc.ts: /etc/shells.",
  dpkg: notNeeded,
  fio: notNeeded,
  gzip: diversion,
  "init-system-helpers": notNeeded,
  iproute2: "Left out: file capabilities on ip, off by default and impossible in cpio.",
  "klibc-utils": diversion,
  kmod: "Left out: an empty /etc/modules.",
  "libc-bin": "nss.ts: nsswitch.conf; no ld.so.cache, see masks.ts.",
  libc6: notNeeded,
  libext2fs2t64: diversion,
  libibverbs1: "Left out: the group rdma, which no udev rule of the package names.",
  "libnss-myhostname": "nss.ts.",
  "libnss-resolve": "nss.ts.",
  "libnss-systemd": "nss.ts.",
  "libpam-modules": "etc.ts: opasswd, environment.",
  "libpam-runtime": "pam.ts.",
  "libpam-systemd": "pam.ts.",
  libreadline8t64: diversion,
  libtirpc3t64: diversion,
  mawk: "alternatives.ts: awk, nawk.",
  netbase: "etc.ts: hosts, networks.",
  "nvme-cli": "Left out: hostnqn and hostid are made at boot; its units stay disabled.",
  "openssh-client": "Left out: the agent's group; no agent runs in an appliance.",
  "openssh-server": "ssh.ts: configuration and host key; units.ts enables it by name.",
  openssl: "Nothing needed: the links are in the package.",
  passwd: "sysusers.ts: the group shadow; account-files.ts: shadow.",
  plymouth: "Nothing needed: links for merged /usr.",
  polkitd: "modes.ts: rules.d and the agent helper.",
  procps: notNeeded,
  "readline-common": "etc.ts: /etc/inputrc.",
  systemd: "units.ts, stamps.ts, sysusers.ts; tmpfiles run at boot.",
  "systemd-resolved": "etc.ts: resolv.conf; units.ts enables it by name.",
  "systemd-sysv": notNeeded,
  "systemd-timesyncd": "units.ts enables it by name.",
  tar: "alternatives.ts: rmt.",
  tzdata: "etc.ts: /etc/localtime.",
  udev: "Left out: the hardware database, see masks.ts.",
  "util-linux": "alternatives.ts: pager; fstrim.timer is masked.",
  "uuid-runtime": "sysusers.ts: uuidd; units.ts enables it by name.",
};

/** A script as it came out of its package. */
export interface ScriptText {
  readonly package: string;
  readonly script: MaintainerScript;
  readonly text: string;
}

/** Parts that debhelper adds, and that are done here for every package alike. */
const generated =
  /^# Automatically added by dh_\w+[^\n]*\n[\s\S]*?^# End automatically added section$/gm;
const telling =
  /\b(?:chown|chmod|dpkg-statoverride|update-alternatives|dpkg-divert|adduser|addgroup|useradd|groupadd|setcap|ln -s|mkdir|install -d|pam-auth-update|ucf)\b/g;

/** Notes on scripts that do something and whose package nobody has read yet. */
export function reviewScripts(scripts: Iterable<ScriptText>): Note[] {
  const notes: Note[] = [];
  for (const { package: name, script, text } of scripts) {
    const installs = script === "preinst" || script === "postinst";
    if (!installs || Object.hasOwn(reviewedScripts, name)) {
      continue;
    }
    const own = text.replace(generated, "").replace(/^\s*#.*$/gm, "");
    const words = [...new Set(own.match(telling))].sort();
    if (words.length > 0) {
      const message = `The ${script} of ${name} uses ${words.join(", ")}; see what the image lacks.`;
      notes.push({ code: "script-unreviewed", subject: name, message });
    }
  }
  return notes;
}

/** Notes on scripts that are not the same in the new lock, with what is known of them. */
export function changedScripts(
  before: readonly LockedPackage[],
  after: readonly LockedPackage[],
): Note[] {
  const earlier = new Map(before.map((each) => [each.name, each]));
  return after.flatMap((locked) => {
    const old = earlier.get(locked.name);
    const names = Object.keys(locked.scripts) as MaintainerScript[];
    const changed = names.filter((name) => locked.scripts[name] !== old?.scripts[name]);
    if (old === undefined || changed.length === 0) {
      return [];
    }
    const known = reviewedScripts[locked.name] ?? "nothing that the image needs.";
    const message =
      `${changed.join(", ")} of ${locked.name} changed from ${old.version} to ${locked.version}. ` +
      `Known so far: ${known}`;
    return [{ code: "script-changed" as const, subject: locked.name, message }];
  });
}
