/** Writes what a build made: the EFI file, the disk image, manifest, bill of materials, sums. */

import { mkdir, mkdtemp, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { ApplianceDefinition } from "../definition.ts";
import { ImageError } from "../error.ts";
import { runTogether } from "../fetch/index.ts";
import type { Finished } from "../finish/index.ts";
import type { Lock } from "../lock.ts";
import { type PlannedFile, plannedFile, type StagedFile, stagePlanned } from "../raw/index.ts";
import { type Component, licencesOf, makeSbom } from "../report/index.ts";
import { readPublicKey } from "../ssh-key.ts";
import type { AssembledImage } from "./driver-assemble.ts";
import type { ImageSegments } from "./driver-segments.ts";
import type { BuildOptions } from "./options.ts";
import type { PackageRoles } from "./plan.ts";
import type { BuildReport, Manifest, Output } from "./report.ts";

interface OutputRequest {
  readonly definition: ApplianceDefinition;
  readonly lock: Lock;
  readonly roles: PackageRoles;
  /** Names of packages that are not Debian's. */
  readonly local: ReadonlySet<string>;
  readonly segments: ImageSegments;
  readonly finished: Finished;
  readonly image: AssembledImage;
  readonly options: BuildOptions;
}

/**
 * Makes the folder of the outputs, and sees that it takes files, before the work whose result could
 * not be stored otherwise.
 * @throws ImageError `io`.
 */
export async function makeOutDirectory(path: string): Promise<void> {
  const refuse = (cannot: string) => (cause: Error) => {
    const message = `Cannot ${cannot} for the outputs: ${cause.message}. Choose another one.`;
    throw new ImageError("io", message, { path }, { cause });
  };
  await mkdir(path, { recursive: true }).catch(refuse(`make the folder ${path}`));
  const probe = await mkdtemp(join(path, ".probe-")).catch(refuse(`use the folder ${path}`));
  await rmdir(probe);
}

/**
 * Writes all outputs into their folder: only once all of them lie there whole do they take the
 * places of those of an earlier build, the sums last.
 */
export async function writeOutputs(
  request: OutputRequest,
): Promise<Pick<BuildReport, "manifest" | "outDirectory">> {
  const staged: StagedFile[] = [];
  try {
    const manifest = await stageOutputs(request, staged);
    for (const file of staged) await file.commit();
    return { manifest, outDirectory: request.options.outDirectory };
  } finally {
    for (const file of staged) await file[Symbol.asyncDispose]();
  }
}

/** Writes all outputs beside their places; those that are there are in `staged`, whatever comes. */
async function stageOutputs(request: OutputRequest, staged: StagedFile[]): Promise<Manifest> {
  const { definition, image, options } = request;
  const write = async (name: string, file: PlannedFile, signal?: AbortSignal): Promise<Output> => {
    const path = join(options.outDirectory, name);
    const one = await stagePlanned(path, file, signal ? { signal } : {});
    staged.push(one);
    return { file: name, sizeBytes: file.sizeBytes, sha256: one.sha256 };
  };
  const writeText = (name: string, text: string) =>
    write(name, plannedFile([Buffer.from(text)]), options.signal);
  const { name } = definition;
  const large = await runTogether(
    [
      (signal) => write(`${name}.efi`, plannedFile(image.uki.chunks), signal),
      (signal) => write(`${name}.raw`, image.raw, signal),
    ],
    options.signal,
  );
  const manifest = makeManifest(request, large);
  const [efi] = large;
  const sbom = makeSbom({
    name,
    version: definition.version,
    file: efi!.file,
    sha256: efi!.sha256,
    epochSeconds: request.lock.epochSeconds,
    components: componentsOf(request),
  });
  const texts = [
    await writeText(`${name}.manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`),
    await writeText(`${name}.spdx.json`, `${JSON.stringify(sbom, null, 2)}\n`),
  ];
  const sums = [...large, ...texts].map(({ file, sha256 }) => `${sha256}  ${file}\n`).join("");
  await writeText(`${name}.SHA256SUMS`, sums);
  return manifest;
}

function makeManifest(request: OutputRequest, outputs: readonly Output[]): Manifest {
  const { definition, lock, segments, image } = request;
  const { report, release } = segments.kernel;
  return {
    format: 1,
    appliance: definition.name,
    version: definition.version,
    architecture: definition.architecture,
    buildId: image.buildId,
    kernelRelease: release,
    kernelCommandLine: definition.kernelCommandLine.join(" "),
    epochSeconds: lock.epochSeconds,
    packages: segments.userland.map(({ locked, segment }) => ({
      name: locked.name,
      version: locked.version,
      architecture: locked.architecture,
      sha256: locked.sha256,
      packedBytes: segment.sizeBytes,
      unpackedBytes: segment.listing.entries.reduce((sum, entry) => sum + entry.sizeBytes, 0),
    })),
    segments: image.segments.map(({ name, sizeBytes, unpackedBytes, sha256 }) => ({
      name,
      sizeBytes,
      unpackedBytes,
      sha256,
    })),
    modules: report.modules.map(({ path }) => path),
    modulesBytes: report.modulePackedBytes,
    firmwareBytes: report.firmwareBytes,
    firmwareMissing: report.firmwareMissing.map(({ module, name }) => ({ module, name })),
    authorizedKeys: (definition.authorizedKeys ?? []).map(
      (key) => key.split(/\s+/).slice(2).join(" ") || "a key without a comment",
    ),
    sshHostKey: definition.sshHostKey === undefined ? null : readPublicKey(definition.sshHostKey),
    outputs,
  };
}

/** What the image holds, for the bill of materials; the kernel and firmware packages too. */
function componentsOf(request: OutputRequest): Component[] {
  const { definition, lock, roles, local, segments } = request;
  const distro = definition.release;
  const controls = new Map(
    segments.userland.map(({ locked, segment }) => [locked.name, segment.listing]),
  );
  const debian = [
    ...roles.userland,
    ...roles.kernel,
    roles.stub,
    ...roles.firmware,
    ...roles.microcode,
  ];
  const packages = debian.map((locked): Component => {
    const listing = controls.get(locked.name);
    const copyright = listing?.captured[`usr/share/doc/${locked.name}/copyright`];
    const homepage = listing?.control.Homepage;
    const isLocal = local.has(locked.name);
    const origin = isLocal ? "generic" : "deb/debian";
    return {
      name: locked.name,
      version: locked.version,
      purl:
        `pkg:${origin}/${encodeURIComponent(locked.name)}@${encodeURIComponent(locked.version)}` +
        `?arch=${locked.architecture}${isLocal ? "" : `&distro=${distro}`}`,
      checksum: { algorithm: "SHA256", hex: locked.sha256 },
      ...(isLocal ? {} : { supplier: "Debian" }),
      ...(homepage ? { homepage } : {}),
      licences: copyright && "text" in copyright ? licencesOf(copyright.text, locked.name) : [],
    };
  });
  const npm = lock.npm.map(
    ({ name, version, integrity }): Component => ({
      name,
      version,
      purl: `pkg:npm/${name}@${version}`,
      checksum: {
        algorithm: "SHA512",
        hex: Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex"),
      },
      licences: [{ id: "MIT" }],
    }),
  );
  return [...packages, ...npm].sort((a, b) => (a.name < b.name ? -1 : 1));
}
