/** update-alternatives: the generic names that packages' scripts register. */

import type { Listing } from "./input.ts";
import { type Piece, symlink } from "./piece.ts";

/** A generic name and who may stand behind it, best first; paths without the leading slash. */
interface Alternative {
  readonly link: string;
  readonly choices: readonly string[];
}

/** From the postinst scripts of mawk, gawk, debianutils, util-linux, less, tar, nano and vim. */
const alternatives: readonly Alternative[] = [
  { link: "usr/bin/awk", choices: ["usr/bin/gawk", "usr/bin/mawk"] },
  { link: "usr/bin/nawk", choices: ["usr/bin/gawk", "usr/bin/mawk"] },
  { link: "usr/bin/editor", choices: ["usr/bin/nano", "usr/bin/vim.basic", "usr/bin/vim.tiny"] },
  { link: "usr/bin/pager", choices: ["usr/bin/less", "usr/bin/more"] },
  { link: "usr/bin/vi", choices: ["usr/bin/vim.basic", "usr/bin/vim.tiny"] },
  { link: "usr/bin/which", choices: ["usr/bin/which.debianutils"] },
  { link: "usr/sbin/rmt", choices: ["usr/sbin/rmt-tar"] },
];

/** `usr/bin/awk` → `/etc/alternatives/awk` → `/usr/bin/mawk`, for names that nothing else has. */
export function alternativeLinks(listing: Listing): Piece[] {
  return alternatives.flatMap(({ link, choices }) => {
    const choice = choices.find((path) => listing.has(path));
    if (choice === undefined || listing.has(link)) {
      return [];
    }
    const name = link.slice(link.lastIndexOf("/") + 1);
    return [
      symlink(link, `/etc/alternatives/${name}`),
      symlink(`etc/alternatives/${name}`, `/${choice}`),
    ];
  });
}
