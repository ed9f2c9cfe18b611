/** What a definition must be beyond its types, told by the first field that is not. */

import type { ApplianceDefinition } from "./definition.ts";
import { ImageError } from "./error.ts";
import { readPublicKey } from "./ssh-key.ts";

type Rule = (definition: ApplianceDefinition) => string | undefined;

const isStrings = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "");

const rules: Readonly<Record<string, Rule>> = {
  name: ({ name }) =>
    /^[a-z][a-z0-9-]{0,31}$/.test(name) ? undefined : "1 to 32 lower-case letters, digits, hyphens",
  title: ({ title }) => (/^[^"\n\\$`]+$/.test(title) ? undefined : "text for os-release"),
  version: ({ version }) =>
    /^[a-z0-9][a-z0-9._~-]*$/.test(version) ? undefined : "as IMAGE_VERSION of os-release",
  release: ({ release }) => (/^[a-z]+$/.test(release) ? undefined : "a Debian code name"),
  architecture: ({ architecture }) => (architecture === "amd64" ? undefined : "amd64"),
  components: ({ components }) => (isStrings(components) ? undefined : "a list of components"),
  packages: ({ packages }) => {
    if (!isStrings(packages)) return "a list of package names";
    const twice = packages.find((name, i) => packages.indexOf(name) !== i);
    return twice ? `each package once, and "${twice}" is there twice` : undefined;
  },
  backports: ({ backports = [] }) => (isStrings(backports) ? undefined : "a list of package names"),
  kernelCommandLine: ({ kernelCommandLine }) =>
    isStrings(kernelCommandLine) && kernelCommandLine.every((word) => !/[\s"]/.test(word))
      ? undefined
      : "one parameter each, without spaces or quotes",
  files: ({ files = {} }) => {
    const bad = Object.keys(files).find(
      (path) => path.startsWith("/") || /(^|\/)\.\.?(\/|$)/.test(path),
    );
    return bad ? `paths without a leading slash or dots, and found "${bad}"` : undefined;
  },
  authorizedKeys: ({ authorizedKeys = [] }) => {
    const bad = authorizedKeys.find((key) => !/^(ssh-|ecdsa-|sk-)[^\n]+$/.test(key));
    return bad ? `public keys, one line each, and found "${bad.slice(0, 40)}"` : undefined;
  },
  sshHostKey: ({ sshHostKey = "" }) =>
    sshHostKey === "" || readPublicKey(sshHostKey) !== null
      ? undefined
      : "a private key as OpenSSH writes it, without a passphrase",
  enable: ({ enable }) =>
    Array.isArray(enable) && enable.every((unit) => /^[\w@.\\:-]+\.\w+$/.test(unit))
      ? undefined
      : "unit names with their suffix",
  defaultTarget: ({ defaultTarget }) =>
    /\.target$/.test(defaultTarget) ? undefined : "the name of a .target unit",
};

/** Every field of a definition; the type makes sure that none is left out. */
const fields: Readonly<Record<keyof ApplianceDefinition, true>> = {
  name: true,
  title: true,
  version: true,
  release: true,
  architecture: true,
  components: true,
  packages: true,
  backports: true,
  excludeDependencies: true,
  packageDirectories: true,
  kernel: true,
  node: true,
  programs: true,
  filesFrom: true,
  files: true,
  excludeFiles: true,
  keepSetuid: true,
  enable: true,
  mask: true,
  defaultTarget: true,
  rootShell: true,
  authorizedKeys: true,
  sshHostKey: true,
  kernelCommandLine: true,
};

const optional: ReadonlySet<string> = new Set([
  "backports",
  "files",
  "authorizedKeys",
  "sshHostKey",
]);

/**
 * Checks a definition, which may come from JavaScript that no compiler saw.
 * @param source names the definition in messages.
 * @throws ImageError `definition` that names the field, what was found and what is wanted.
 */
export function checkDefinition(value: unknown, source: string): ApplianceDefinition {
  if (typeof value !== "object" || value === null) {
    throw new ImageError(
      "definition",
      `Cannot use the definition ${source}: it has no default export made by defineAppliance.`,
      { source },
    );
  }
  const definition = value as ApplianceDefinition;
  const unknown = Object.keys(value).find((field) => !Object.hasOwn(fields, field));
  if (unknown !== undefined) {
    throw new ImageError(
      "definition",
      `Cannot use the definition ${source}: it has no field ${unknown}. The fields are ` +
        `${Object.keys(fields).join(", ")}.`,
      { source, field: unknown },
    );
  }
  for (const [field, rule] of Object.entries(rules)) {
    const found = definition[field as keyof ApplianceDefinition];
    const isOptional = optional.has(field);
    if (found === undefined && !isOptional) {
      throw new ImageError(
        "definition",
        `Cannot use the definition ${source}: its field ${field} is missing.`,
        { source, field },
      );
    }
    const wanted = rule(definition);
    if (wanted === undefined) continue;
    throw new ImageError(
      "definition",
      `Cannot use the definition ${source}: its field ${field} should be ${wanted}; found ` +
        `${field === "sshHostKey" ? "another text" : JSON.stringify(found)?.slice(0, 120)}.`,
      { source, field },
    );
  }
  return definition;
}
