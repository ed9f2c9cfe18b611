/** Which package of a lock plays which part in an image. */

import type { ApplianceDefinition } from "../definition.ts";
import { ImageError } from "../error.ts";
import type { Lock, LockedPackage, LockedRequest } from "../lock.ts";

/** The packages of a lock by what the build does with them. */
export interface PackageRoles {
  /** Unpacked into segments of their own, in this order. */
  readonly userland: readonly LockedPackage[];
  /** The package with `vmlinuz` and the modules; from Linux 7 on Debian has several for it. */
  readonly kernel: readonly LockedPackage[];
  readonly firmware: readonly LockedPackage[];
  readonly microcode: readonly LockedPackage[];
  /** The package with the EFI stub; it does not go into the image. */
  readonly stub: LockedPackage;
}

/** The package that has `linuxx64.efi.stub`. */
export const stubPackage = "systemd-boot-efi";

/** What the names of packages that together are a kernel begin with, before its version. */
const kernelParts = ["linux-image-", "linux-binary-", "linux-modules-", "linux-base-"];

/** Everything that the definition asks the resolver for, sorted. */
export function wantedPackages(definition: ApplianceDefinition): string[] {
  const { kernel } = definition;
  return [
    ...new Set([
      ...definition.packages,
      stubPackage,
      kernel.package,
      ...(kernel.firmwarePackages ?? []),
      ...(kernel.microcodePackages ?? []),
    ]),
  ].sort();
}

/** What a lock remembers of the definition that it is made for. */
export function requestOf(definition: ApplianceDefinition): LockedRequest {
  return {
    packages: wantedPackages(definition),
    excluded: Object.keys(definition.excludeDependencies).sort(),
    backports: [...(definition.backports ?? [])].sort(),
  };
}

/**
 * Refuses a lock that was resolved for another definition, as far as a lock tells: what it has and
 * the definition does not want any more would be in the image all the same, and without a word.
 * @throws ImageError `lock` that names what differs.
 */
export function checkLock(definition: ApplianceDefinition, lock: Lock): void {
  const { name, release, excludeDependencies, backports = [] } = definition;
  const refuse = (found: string, wanted: string) =>
    new ImageError(
      "lock",
      `Cannot build ${name}: its lock file ${found}, and the definition ${wanted}. Run build ` +
        "--update, or correct the definition.",
      { found, wanted },
    );
  const [base] = lock.releases;
  if (base !== undefined && base.suite !== release) {
    throw refuse(`is of ${base.suite}`, `asks for ${release}`);
  }
  const hasBackports = lock.releases.some(({ suite }) => suite === `${release}-backports`);
  if (hasBackports !== backports.length > 0) {
    const [found, wanted] = hasBackports ? ["has", "takes nothing from"] : ["lacks", "asks for"];
    throw refuse(`${found} ${release}-backports`, `${wanted} them`);
  }
  const excluded = lock.packages.find((locked) => Object.hasOwn(excludeDependencies, locked.name));
  if (excluded) throw refuse(`has the package ${excluded.name}`, "excludes it");
  if (lock.request !== undefined) checkRequest(lock.request, requestOf(definition), refuse);
  const nodes = lock.npm.map((locked) => `${locked.name} ${locked.version}`);
  if (nodes.length !== (definition.node ? 1 : 0)) {
    throw refuse(
      `has ${nodes.join(" and ") || "no Node.js"}`,
      `asks for ${definition.node ? "one Node.js" : "none"}`,
    );
  }
}

/** What is asked for anew, `assignRoles` and the packages of the lock tell. */
function checkRequest(
  before: LockedRequest,
  now: LockedRequest,
  refuse: (found: string, wanted: string) => ImageError,
): void {
  const gone = before.packages.find((name) => !now.packages.includes(name));
  if (gone !== undefined) throw refuse(`was made for the package ${gone}`, "asks no more for it");
  const back = before.excluded.find((name) => !now.excluded.includes(name));
  if (back !== undefined) throw refuse(`was made without ${back}`, "excludes it no more");
  const [found, wanted] = [before, now].map(({ backports }) => backports.join(", ") || "nothing");
  if (found !== wanted) {
    throw refuse(`was made with ${found} from backports`, `asks for ${wanted} from there`);
  }
}

/**
 * Gives each locked package its part.
 * @throws ImageError `lock` when the lock does not fit the definition.
 */
export function assignRoles(
  definition: ApplianceDefinition,
  packages: readonly LockedPackage[],
): PackageRoles {
  const byName = new Map(packages.map((locked) => [locked.name, locked]));
  for (const name of wantedPackages(definition)) {
    if (!byName.has(name)) {
      throw new ImageError(
        "lock",
        `Cannot build ${definition.name}: the lock file has no package "${name}", which the ` +
          "definition asks for. Run build --update.",
        { package: name },
      );
    }
  }
  const firmware = new Set(definition.kernel.firmwarePackages ?? []);
  const microcode = new Set(definition.kernel.microcodePackages ?? []);
  const kernels = packages.filter(
    ({ name }) => /^linux-image-\d/.test(name) && !name.endsWith("-dbg"),
  );
  const [image] = kernels;
  if (image === undefined || kernels.length > 1) {
    throw new ImageError(
      "lock",
      `Cannot build ${definition.name}: the lock file has ${kernels.length} kernels ` +
        `(${kernels.map(({ name }) => name).join(", ")}), and one is wanted. Run build --update.`,
      { kernels: kernels.map(({ name }) => name) },
    );
  }
  const version = image.name.replace(/^linux-image-/, "");
  const kernel = packages.filter(({ name }) => kernelParts.some((part) => name === part + version));
  const apart = new Set([
    ...kernel.map(({ name }) => name),
    definition.kernel.package,
    stubPackage,
  ]);
  return {
    kernel,
    stub: byName.get(stubPackage)!,
    firmware: packages.filter(({ name }) => firmware.has(name)),
    microcode: packages.filter(({ name }) => microcode.has(name)),
    userland: packages.filter(
      ({ name }) => !apart.has(name) && !firmware.has(name) && !microcode.has(name),
    ),
  };
}
