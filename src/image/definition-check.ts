/** What a definition must be beyond its types, told by the first field that is not. */

import type {
  ApplianceDefinition,
  FileDefinition,
  KernelDefinition,
  ModuleClass,
} from "./definition.ts";
import { ImageError } from "./error.ts";
import { readPublicKey } from "./ssh-key.ts";

type Rule = (definition: ApplianceDefinition) => string | undefined;

const isStrings = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string" && item !== "");

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

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
  excludeDependencies: ({ excludeDependencies }) =>
    isRecord(excludeDependencies) && isStrings(Object.values(excludeDependencies))
      ? undefined
      : "a reason for each package",
  packageDirectories: ({ packageDirectories = [] }) =>
    isStrings(packageDirectories) ? undefined : "a list of folders",
  kernel: ({ kernel }) => wrongInKernel(kernel),
  excludeFiles: ({ excludeFiles = [] }) =>
    isStrings(excludeFiles) ? undefined : "a list of globs",
  keepSetuid: ({ keepSetuid = [] }) => (isStrings(keepSetuid) ? undefined : "a list of globs"),
  mask: ({ mask = [] }) => (isStrings(mask) ? undefined : "a list of units"),
  kernelCommandLine: ({ kernelCommandLine }) =>
    isStrings(kernelCommandLine) && kernelCommandLine.every((word) => !/[\s"]/.test(word))
      ? undefined
      : "one parameter each, without spaces or quotes",
  files: ({ files = {} }) => {
    const bad = Object.keys(files).find(
      (path) => path.startsWith("/") || /(^|\/)\.\.?(\/|$)/.test(path),
    );
    if (bad !== undefined) return `paths without a leading slash or dots, and found "${bad}"`;
    const [path] = Object.entries(files).find(([, file]) => !isFile(file)) ?? [];
    return path && `content and, as a number, mode of each file, and ${path} has other things`;
  },
  authorizedKeys: ({ authorizedKeys = [] }) => {
    const bad = authorizedKeys.find((key) => !/^(ssh-|ecdsa-|sk-)[^\n]+$/.test(key));
    return bad ? `public keys, one line each, and found "${bad.slice(0, 40)}"` : undefined;
  },
  sshHostKey: ({ sshHostKey }) =>
    sshHostKey === undefined || readPublicKey(sshHostKey) !== null
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
  "packageDirectories",
  "files",
  "excludeFiles",
  "keepSetuid",
  "mask",
  "authorizedKeys",
  "sshHostKey",
]);

const kernelFields: Readonly<Record<keyof KernelDefinition, true>> = {
  package: true,
  classes: true,
  modules: true,
  excludeModules: true,
  unpackedModules: true,
  firmwarePackages: true,
  excludeFirmware: true,
  microcodePackages: true,
};

const moduleClassNames: Readonly<Record<ModuleClass, true>> = {
  "network-wired": true,
  "network-usb": true,
  "network-virtual": true,
  "thunderbolt-net": true,
  storage: true,
  "storage-usb": true,
  "nvme-target": true,
  "nvme-host": true,
  "device-mapper": true,
  "filesystems-basic": true,
  hid: true,
  tls: true,
  efi: true,
  console: true,
};

/** What a kernel should be and is not. */
function wrongInKernel(kernel: unknown): string | undefined {
  if (!isRecord(kernel) || typeof kernel.package !== "string") return "an object with its package";
  const stray = Object.keys(kernel).find((field) => !Object.hasOwn(kernelFields, field));
  const names = Object.keys(kernelFields).join(", ");
  if (stray !== undefined) return `an object of ${names}, and has ${stray}`;
  const { classes } = kernel;
  if (!isStrings(classes)) return "an object with classes as a list of names";
  const [list] =
    Object.entries(kernel).find(
      ([field, value]) => field !== "package" && value !== undefined && !isStrings(value),
    ) ?? [];
  if (list !== undefined) return `an object with ${list} as a list of names`;
  const none = classes.find((name) => !Object.hasOwn(moduleClassNames, name));
  const known = Object.keys(moduleClassNames).join(", ");
  return none && `an object with classes out of ${known}, and "${none}" is none`;
}

function isFile(file: Partial<FileDefinition>): boolean {
  const { content, mode = 0o644 } = file;
  const isMode = Number.isInteger(mode) && mode >= 0 && mode <= 0o7777;
  if (!isMode || content === undefined) return false;
  if (typeof content === "string" || content instanceof Uint8Array) return true;
  return typeof ("symlink" in content ? content.symlink : content.file) === "string";
}

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
