/** Checks of what packages expect to find: accounts, library folders, generators. */

import type { Accounts } from "./accounts.ts";
import { dropPaths, knownGenerators } from "./drops.ts";
import type { Listing, Note } from "./input.ts";
import { readSection } from "./unit-file.ts";

const generators = "usr/lib/systemd/system-generators/";
const libraryPath = /^etc\/ld\.so\.conf\.d\/[^/]+$/;
/** libc6's own; what they name is searched without a cache too, or is empty. */
const standardLibraryPaths = /\/(?:libc|[a-z0-9_]+-linux-gnu[a-z0-9]*)\.conf$/;

/** Notes on everything that would only show when the image runs. */
export function checkReferences(
  listing: Listing,
  contents: ReadonlyMap<string, string>,
  accounts: Accounts,
): Note[] {
  const users = new Set(accounts.users.map((user) => user.name));
  const groups = new Set(accounts.groups.map((group) => group.name));
  const notes = new Map<string, Note>();
  for (const [path, text] of contents) {
    for (const { kind, name } of accountsNamedIn(path, text)) {
      const known = kind === "user" ? users : groups;
      if (!known.has(name) && !/^(?:\d+|root|)$/.test(name) && !/[%$]/.test(name)) {
        const message = `${path} names the ${kind} ${name}, which no sysusers file declares.`;
        notes.set(`${kind} ${name} ${path}`, { code: "account", subject: name, message });
      }
    }
  }
  for (const path of listing.keys()) {
    if (libraryPath.test(path) && !standardLibraryPaths.test(path)) {
      const message = `${path} names folders that are searched only with a cache, which is not made.`;
      notes.set(path, { code: "library-path", subject: path, message });
    }
    const isGenerator = path.startsWith(generators) && path !== generators;
    if (isGenerator && !(path in knownGenerators) && !(path in dropPaths)) {
      const message = `${path} runs at every boot and may start units that nobody enabled.`;
      notes.set(path, { code: "generator", subject: path, message });
    }
  }
  return [...notes.values()];
}

interface NamedAccount {
  readonly kind: "user" | "group";
  readonly name: string;
}

/** Accounts that a unit, a tmpfiles.d file or udev rules name. */
function accountsNamedIn(path: string, text: string): NamedAccount[] {
  if (path.startsWith("usr/lib/tmpfiles.d/")) {
    return tmpfilesAccounts(text);
  }
  if (path.startsWith("usr/lib/udev/rules.d/")) {
    return [...text.matchAll(/\b(OWNER|GROUP)\s*:?=\s*"([^"]*)"/g)].map((match) => ({
      kind: match[1] === "OWNER" ? "user" : "group",
      name: match[2]!,
    }));
  }
  return /\.(?:service|socket)$/.test(path) ? unitAccounts(text) : [];
}

/** User= and Group= of a service, SocketUser= and SocketGroup= of a socket. */
function unitAccounts(text: string): NamedAccount[] {
  const service = readSection("Service", [text]);
  if (service.some(([key, value]) => key === "DynamicUser" && /^(?:yes|true|1|on)$/.test(value))) {
    return [];
  }
  return [...service, ...readSection("Socket", [text])].flatMap(([key, value]): NamedAccount[] => {
    switch (key) {
      case "User":
      case "SocketUser":
        return [{ kind: "user", name: value }];
      case "Group":
      case "SocketGroup":
      case "SupplementaryGroups":
        return value.split(/\s+/).map((name) => ({ kind: "group", name }));
      default:
        return [];
    }
  });
}

/** Type, path, mode, user, group; `-` is root, a leading `:` means "only when it is made". */
function tmpfilesAccounts(text: string): NamedAccount[] {
  return text.split("\n").flatMap((line): NamedAccount[] => {
    const fields = line.trim().split(/\s+/);
    const [type = "", , , user = "-", group = "-"] = fields;
    if (type.startsWith("#") || !/^[a-zA-Z]/.test(type) || /^[aAthHTxXrR]/.test(type)) {
      return [];
    }
    return [
      { kind: "user" as const, name: user.replace(/^:/, "") },
      { kind: "group" as const, name: group.replace(/^:/, "") },
    ].filter(({ name }) => name !== "-");
  });
}
