/**
 * What maintainer scripts would have done, as one pure function: from what packages ship and the
 * definition asks for to the entries of the last segment.
 */

import type { Ownership } from "../entry.ts";
import { ImageError } from "../error.ts";
import { accountFiles } from "./account-files.ts";
import { type Accounts, allocateAccounts } from "./accounts.ts";
import { alternativeLinks } from "./alternatives.ts";
import { assembleEntries } from "./assemble.ts";
import { certificateFiles } from "./ca.ts";
import { etcFiles } from "./etc.ts";
import type { Finished, FinishInput, Listing, Note } from "./input.ts";
import { defaultMasks } from "./masks.ts";
import { resolveModes } from "./modes.ts";
import { nssFiles } from "./nss.ts";
import { osReleaseText } from "./os-release.ts";
import { pamFiles } from "./pam.ts";
import { file, type Piece } from "./piece.ts";
import { checkReferences } from "./references.ts";
import { hasSshServer, hostKeyUnit, sshFiles } from "./ssh.ts";
import { machineIdFiles, stampFiles } from "./stamps.ts";
import { parseSysusers } from "./sysusers.ts";
import { udevFiles } from "./udev.ts";
import { findUnits, unitFolders } from "./unit-set.ts";
import { unitLinks } from "./units.ts";

const osReleasePath = "usr/lib/os-release";
const decoder = new TextDecoder();

/**
 * The config segment: accounts, name services, PAM, enabled units, SSH, stamps, and the
 * definition's own files, which win over all of it.
 * @throws ImageError `definition` for a mistake in the definition, `package` for a shipped file
 *   that is not what its format says.
 */
export function finishTree(input: FinishInput): Finished {
  const { definition, listing, epochSeconds, files } = input;
  const texts = withOwnFiles(input);
  const kept = new Map([...texts].filter(([path]) => listing.has(path) || files.has(path)));
  const accounts = withUsableShell(makeAccounts(input, texts), input);
  const modes = resolveModes(listing, accounts);
  const ssh = sshFiles(listing, definition.authorizedKeys ?? [], definition.sshHostKey);
  const units = linkUnits(input, kept, ssh);
  const udev = udevFiles(kept);
  const osRelease = osReleaseText(input.contents.get(osReleasePath) ?? "", definition);
  const pieces: Piece[] = [
    ...accountFiles(accounts, {
      rootWithoutPassword: definition.rootShell === "debug",
      epochSeconds,
    }),
    ...alternativeLinks(listing),
    ...certificateFiles(input.contents),
    ...etcFiles(definition, listing, input.contents),
    ...machineIdFiles(),
    ...nssFiles(listing, input.contents),
    ...pamFiles(input.contents),
    ...ssh,
    ...stampFiles(epochSeconds),
    ...udev.pieces,
    ...units.pieces,
    file(osReleasePath, osRelease),
  ];
  const overrides = modes.overrides;
  pieces.push(...changedFolders(input.listing, overrides, new Set(pieces.map(({ path }) => path))));
  const { entries, notes } = assembleEntries({
    pieces,
    files,
    listing,
    accounts,
    overrides,
    epochSeconds,
  });
  return {
    entries,
    ids: accounts.ids,
    modeOverrides: overrides,
    osRelease,
    notes: [
      ...accounts.notes,
      ...modes.notes,
      ...units.notes,
      ...udev.notes,
      ...checkReferences(listing, kept, accounts),
      ...unreadFiles(input),
      ...notes,
    ],
  };
}

/**
 * Folders whose owner or mode is another than their package's: the last entry of a folder decides,
 * so that the package's own segment may stay as it is.
 */
function changedFolders(
  listing: Listing,
  overrides: ReadonlyMap<string, Ownership>,
  made: ReadonlySet<string>,
): Piece[] {
  return [...overrides].flatMap(([path, { mode, uid, gid }]): Piece[] => {
    const node = listing.get(path);
    if (node?.type !== "directory" || made.has(path)) return [];
    const isSame = node.mode === mode && node.uid === uid && node.gid === gid;
    return isSame ? [] : [{ type: "directory", path }];
  });
}

/** Captured texts, and over them those of the definition's files that are read the same way. */
function withOwnFiles({ contents, files }: FinishInput): ReadonlyMap<string, string> {
  const accounts = ["etc/sysusers.d/", "usr/lib/sysusers.d/"];
  const folders = [...unitFolders, ...accounts, "usr/lib/udev/rules.d/"];
  const texts = new Map(contents);
  for (const [path, { content }] of files) {
    if (!folders.some((folder) => path.startsWith(folder))) continue;
    if (content instanceof Uint8Array) texts.set(path, decoder.decode(content));
    else texts.delete(path);
  }
  return texts;
}

/** All sysusers.d files by name; one in `etc` hides its namesake, as systemd does it. */
function makeAccounts(input: FinishInput, texts: ReadonlyMap<string, string>): Accounts {
  const byName = new Map<string, string>();
  for (const folder of ["usr/lib/sysusers.d/", "etc/sysusers.d/"]) {
    for (const path of texts.keys()) {
      const name = path.slice(folder.length);
      if (path.startsWith(folder) && name.endsWith(".conf") && !name.includes("/")) {
        byName.set(name, path);
      }
    }
  }
  const lines = [...byName.keys()].sort().flatMap((name) => {
    const path = byName.get(name)!;
    return parseSysusers(path, texts.get(path)!);
  });
  const accounts = allocateAccounts(lines, input.ids, (path) => input.listing.get(path));
  const hasRoot =
    accounts.users.some((user) => user.name === "root" && user.uid === 0) &&
    accounts.groups.some((group) => group.name === "root" && group.gid === 0);
  if (!hasRoot) {
    throw new ImageError(
      "definition",
      "Cannot make the accounts: no sysusers.d file declares root. Add the package systemd.",
      { found: [...byName.keys()] },
    );
  }
  return accounts;
}

/** Root gets /bin/sh where its declared shell is not in the image: sshd needs one to log in. */
function withUsableShell(accounts: Accounts, { listing, files }: FinishInput): Accounts {
  const has = (shell: string) => {
    const path = shell.slice(1).replace(/^(s?bin)\//, "usr/$1/");
    return listing.has(path) || files.has(path);
  };
  const root = accounts.users.find((user) => user.name === "root");
  if (root === undefined || has(root.shell)) {
    return accounts;
  }
  const message = `Root's shell ${root.shell} is not in the image; it gets /bin/sh.`;
  return {
    ...accounts,
    users: accounts.users.map((user) => (user === root ? { ...user, shell: "/bin/sh" } : user)),
    notes: [...accounts.notes, { code: "account", subject: "root", message }],
  };
}

function linkUnits(
  { definition, listing }: FinishInput,
  texts: ReadonlyMap<string, string>,
  ssh: readonly Piece[],
): { pieces: Piece[]; notes: Note[] } {
  const makesHostKey = hasSshServer(listing) && definition.sshHostKey === undefined;
  const all = new Map(texts);
  for (const piece of ssh) {
    if (piece.type === "file" && unitFolders.some((folder) => piece.path.startsWith(folder))) {
      all.set(piece.path, piece.text);
    }
  }
  return unitLinks(findUnits(listing, all), {
    enable: [...definition.enable, ...(makesHostKey ? [hostKeyUnit] : [])],
    mask: definition.mask ?? [],
    defaultTarget: definition.defaultTarget,
    defaultMasks,
  });
}

/** Files of the definition that look as if they did something and do not. */
function unreadFiles({ files }: FinishInput): Note[] {
  const unread: Readonly<Record<string, string>> = {
    "etc/fstab": "its generator is not in the image; write .mount units and enable them",
    "etc/crypttab": "its generator is not in the image",
    "etc/rc.local": "its generator is not in the image; write a service and enable it",
  };
  return Object.entries(unread)
    .filter(([path]) => files.has(path))
    .map(([path, why]) => {
      const message = `${path} of the definition is not read: ${why}.`;
      return { code: "unread-file" as const, subject: path, message };
    });
}
