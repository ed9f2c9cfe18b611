/** `/etc/nsswitch.conf`: libc-bin's default with what the libnss packages' scripts add to it. */

import type { Listing } from "./input.ts";
import { file, type Piece } from "./piece.ts";

const template = "usr/share/libc-bin/nsswitch.conf";

/** A module, and how its postinst edits the databases (dh_installnss). */
interface NssModule {
  readonly library: RegExp;
  readonly edit: (database: string, sources: string) => string;
}

const accountDatabases = ["passwd", "group", "shadow", "gshadow"];

const modules: readonly NssModule[] = [
  {
    library: /^usr\/lib\/[^/]+\/libnss_systemd\.so\.2$/,
    edit: (database, sources) =>
      accountDatabases.includes(database) ? `${sources} systemd` : sources,
  },
  {
    library: /^usr\/lib\/[^/]+\/libnss_myhostname\.so\.2$/,
    edit: (database, sources) =>
      database === "hosts" ? sources.replace(/\bfiles\b/, "files myhostname") : sources,
  },
  {
    library: /^usr\/lib\/[^/]+\/libnss_resolve\.so\.2$/,
    edit: (database, sources) =>
      database === "hosts" ? sources.replace(/\bdns\b/, "resolve [!UNAVAIL=return] dns") : sources,
  },
];

/** The file, or nothing where libc-bin's template is not in the image. */
export function nssFiles(listing: Listing, contents: ReadonlyMap<string, string>): Piece[] {
  const text = contents.get(template);
  if (text === undefined) {
    return [];
  }
  const paths = [...listing.keys()];
  const present = modules.filter((each) => paths.some((path) => each.library.test(path)));
  const lines = text.split("\n").map((line) => {
    const match = /^(\w+)(:\s+)(.*)$/.exec(line);
    if (match === null) {
      return line;
    }
    const [, database, gap, sources] = match;
    const edited = present.reduce((sum, module) => module.edit(database!, sum), sources!);
    return `${database}${gap}${edited}`;
  });
  return [file("etc/nsswitch.conf", lines.join("\n"))];
}
