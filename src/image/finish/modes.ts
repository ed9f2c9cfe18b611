/** Owners and modes that maintainer scripts set; applied where packages are unpacked. */

import type { Ownership } from "../entry.ts";
import type { Accounts } from "./accounts.ts";
import type { Listing, Note } from "./input.ts";

/** One `chown`/`chmod` or `dpkg-statoverride` of a script. */
export interface PostinstMode {
  /** Package whose script it is. */
  readonly package: string;
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
}

/** Canonical path → what the package's script makes of it. */
export const postinstModes: Readonly<Record<string, PostinstMode>> = {
  "usr/lib/dbus-1.0/dbus-daemon-launch-helper": {
    package: "dbus",
    mode: 0o4754,
    owner: "root",
    group: "messagebus",
  },
  "usr/lib/polkit-1/polkit-agent-helper-1": {
    package: "polkitd",
    mode: 0o4755,
    owner: "root",
    group: "root",
  },
  "etc/polkit-1/rules.d": { package: "polkitd", mode: 0o750, owner: "root", group: "polkitd" },
  "usr/share/polkit-1/rules.d": { package: "polkitd", mode: 0o755, owner: "root", group: "root" },
  // tmpfiles.d would do these at boot; so they are right from the first moment.
  "etc/credstore": { package: "systemd", mode: 0o700, owner: "root", group: "root" },
  "etc/credstore.encrypted": { package: "systemd", mode: 0o700, owner: "root", group: "root" },
};

/** `postinstModes` in numbers, for the paths that the image has. */
export function resolveModes(
  listing: Listing,
  accounts: Accounts,
): { overrides: ReadonlyMap<string, Ownership>; notes: Note[] } {
  const uids = new Map(accounts.users.map((user) => [user.name, user.uid]));
  const gids = new Map(accounts.groups.map((group) => [group.name, group.gid]));
  const overrides = new Map<string, Ownership>();
  const notes: Note[] = [];
  for (const [path, { mode, owner, group, package: source }] of Object.entries(postinstModes)) {
    const uid = uids.get(owner);
    const gid = gids.get(group);
    if (!listing.has(path)) {
      continue;
    }
    if (uid === undefined || gid === undefined) {
      const message = `${source} gives ${path} to ${owner}:${group}, which no sysusers file declares.`;
      notes.push({ code: "mode", subject: path, message });
    } else {
      overrides.set(path, { mode, uid, gid });
    }
  }
  return { overrides, notes };
}
