/** `/etc/passwd`, `group`, `shadow`, `gshadow`: accounts as text. */

import type { Accounts } from "./accounts.ts";
import { file, type Piece } from "./piece.ts";

const secondsPerDay = 86_400;
const shadowAttributes = { mode: 0o640, group: "shadow" } as const;

/** What the files say beside the accounts themselves. */
export interface AccountFileOptions {
  /** Empty password for root on consoles; otherwise root has none that could match. */
  readonly rootWithoutPassword: boolean;
  /** Gives the "last changed" day of shadow(5), so that it does not depend on today. */
  readonly epochSeconds: number;
}

/**
 * The four account files and the two empty ones for subordinate ids.
 *
 * Root is `*` rather than sysusers' `!*`: both match no password, but sshd without PAM reads `!` as
 * "locked" and then refuses keys as well (auth.c, allowed_user).
 */
export function accountFiles(accounts: Accounts, options: AccountFileOptions): Piece[] {
  const day = Math.floor(options.epochSeconds / secondsPerDay);
  const rootPassword = options.rootWithoutPassword ? "" : "*";
  const passwd = accounts.users.map(
    (user) => `${user.name}:x:${user.uid}:${user.gid}:${user.gecos}:${user.home}:${user.shell}\n`,
  );
  const shadow = accounts.users.map((user) => {
    const password = user.uid === 0 ? rootPassword : "!*";
    return `${user.name}:${password}:${day}:::::${user.locked ? "1" : ""}:\n`;
  });
  const group = accounts.groups.map((each) => `${each.name}:x:${each.gid}:${each.members}\n`);
  const gshadow = accounts.groups.map((each) => `${each.name}:!*::${each.members}\n`);
  return [
    file("etc/passwd", passwd.join("")),
    file("etc/group", group.join("")),
    file("etc/shadow", shadow.join(""), shadowAttributes),
    file("etc/gshadow", gshadow.join(""), shadowAttributes),
    file("etc/subuid", ""),
    file("etc/subgid", ""),
  ];
}
