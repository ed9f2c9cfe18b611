/** The rest of `/etc` and `/var`: what base-files, netbase, debianutils and others' scripts make. */

import type { ApplianceDefinition } from "../definition.ts";
import type { Listing } from "./input.ts";
import { directory, file, type Piece, symlink } from "./piece.ts";

/**
 * Everything with a fixed place that no other module makes. Left out on purpose: wtmp, btmp and
 * lastlog (sshd would fill memory with failed logins), /usr/local, /etc/nvme/hostnqn (made at
 * boot), /var/log/journal (the journal stays in /run).
 */
export function etcFiles(
  definition: ApplianceDefinition,
  listing: Listing,
  contents: ReadonlyMap<string, string>,
): Piece[] {
  return [
    ...nameFiles(definition),
    ...baseFiles(contents),
    ...shellFiles(listing),
    ...directories(),
    ...conditionalFiles(listing),
    ...serviceFiles(listing),
    symlink("init", "usr/lib/systemd/systemd"),
    file("etc/environment", ""),
    file("etc/security/opasswd", "", { mode: 0o600 }),
    file("etc/locale.conf", "LANG=C.UTF-8\n"),
    symlink("etc/default/locale", "../locale.conf"),
    symlink("etc/mtab", "../proc/self/mounts"),
    symlink("var/run", "/run"),
    symlink("var/lock", "/run/lock"),
    symlink("var/spool/mail", "../mail"),
  ];
}

/** Names of the machine and of its neighbours, as netbase writes them. */
function nameFiles(definition: ApplianceDefinition): Piece[] {
  const hosts = [
    "127.0.0.1\tlocalhost",
    "::1\t\tlocalhost ip6-localhost ip6-loopback",
    "ff02::1\t\tip6-allnodes",
    "ff02::2\t\tip6-allrouters",
    "",
    "",
  ];
  const networks = ["default\t\t0.0.0.0", "loopback\t127.0.0.0", "link-local\t169.254.0.0", "", ""];
  return [
    file("etc/hostname", `${definition.name}\n`),
    file("etc/hosts", hosts.join("\n")),
    file("etc/networks", networks.join("\n")),
  ];
}

/**
 * Copies that base-files and readline-common make of their defaults; the message of the day is the
 * appliance's.
 */
function baseFiles(contents: ReadonlyMap<string, string>): Piece[] {
  const copies = [
    ["usr/share/base-files/dot.profile", "root/.profile"],
    ["usr/share/base-files/dot.bashrc", "root/.bashrc"],
    ["usr/share/base-files/profile", "etc/profile"],
    ["usr/share/readline/inputrc", "etc/inputrc"],
  ] as const;
  const made = copies.flatMap(([from, to]) => {
    const text = contents.get(from);
    return text === undefined ? [] : [file(to, text)];
  });
  return [...made, file("etc/motd", "")];
}

/** Valid login shells, by both of their names. */
function shellFiles(listing: Listing): Piece[] {
  const present = ["sh", "bash", "rbash", "dash"].filter((name) => listing.has(`usr/bin/${name}`));
  const lines = present.flatMap((name) => [`/bin/${name}`, `/usr/bin/${name}`]);
  return [file("etc/shells", ["# /etc/shells: valid login shells", ...lines, ""].join("\n"))];
}

function directories(): Piece[] {
  const plain = ["etc/opt", "media", "mnt", "opt", "srv", "var/opt", "var/lib/dbus"];
  return [
    ...plain.map((path) => directory(path)),
    directory("var/mail", { mode: 0o2775, group: "mail" }),
  ];
}

/** Links that make sense only where what they lead to is in the image. */
function conditionalFiles(listing: Listing): Piece[] {
  const links: readonly (readonly [needed: string, path: string, target: string])[] = [
    ["usr/share/zoneinfo/Etc/UTC", "etc/localtime", "/usr/share/zoneinfo/Etc/UTC"],
    [
      "usr/lib/systemd/systemd-resolved",
      "etc/resolv.conf",
      "../run/systemd/resolve/stub-resolv.conf",
    ],
    ["etc/dpkg/origins/debian", "etc/dpkg/origins/default", "debian"],
  ];
  return links
    .filter(([needed]) => listing.has(needed))
    .map(([, path, target]) => symlink(path, target));
}

/** Settings of systemd's own services that follow from living in memory, on somebody's machine. */
function serviceFiles(listing: Listing): Piece[] {
  const settings: readonly (readonly [needed: string, path: string, text: string])[] = [
    [
      "usr/lib/systemd/systemd-journald",
      "etc/systemd/journald.conf.d/00-appliance.conf",
      "[Journal]\nStorage=volatile\n",
    ],
    [
      // No login prompt where one switches consoles; a closed lid does not stop an appliance.
      "usr/lib/systemd/systemd-logind",
      "etc/systemd/logind.conf.d/00-appliance.conf",
      "[Login]\nNAutoVTs=0\nReserveVT=0\nHandleLidSwitch=ignore\nHandleSuspendKey=ignore\n" +
        "HandleHibernateKey=ignore\n",
    ],
  ];
  return settings
    .filter(([needed]) => listing.has(needed))
    .map(([, path, text]) => file(path, text));
}
