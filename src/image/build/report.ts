/** What a build tells of itself: the manifest, and the summary for a person. */

import { formatSize } from "../../bytes/index.ts";
import type { LockedPackage } from "../lock.ts";
import { type Column, formatTable } from "../report/index.ts";
import type { PlacedSegment } from "./driver-assemble.ts";

/** One file that a build wrote. */
export interface Output {
  readonly file: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** The manifest: what is in an image, reproducible like the image itself. */
export interface Manifest {
  readonly format: 1;
  readonly appliance: string;
  readonly version: string;
  readonly architecture: string;
  readonly buildId: string;
  readonly kernelRelease: string;
  readonly kernelCommandLine: string;
  readonly epochSeconds: number;
  readonly packages: readonly (Pick<
    LockedPackage,
    "name" | "version" | "architecture" | "sha256"
  > & {
    readonly packedBytes: number;
    readonly unpackedBytes: number;
  })[];
  readonly segments: readonly PlacedSegment[];
  readonly modules: readonly string[];
  readonly modulesBytes: number;
  readonly firmwareBytes: number;
  readonly firmwareMissing: readonly { readonly module: string; readonly name: string }[];
  /** Comments of the public keys that may log in. */
  readonly authorizedKeys: readonly string[];
  /** The SSH server's public key; null for one that is made at every boot. */
  readonly sshHostKey: string | null;
  readonly outputs: readonly Output[];
}

/** Everything that `build` tells. */
export interface BuildReport {
  readonly manifest: Manifest;
  /** Folder of the outputs. */
  readonly outDirectory: string;
  readonly lockPath: string;
  /** Milliseconds by phase. */
  readonly phases: Readonly<Record<string, number>>;
}

const packagesShown = 10;

/** The summary, as lines of text. */
export function formatReport(report: BuildReport): string[] {
  const { manifest, phases } = report;
  const right: Column["align"] = "right";
  const small = new Set(manifest.packages.map(({ name }) => name));
  const parts = manifest.segments.filter(({ name }) => !small.has(name));
  const packages = manifest.packages.toSorted((a, b) => b.packedBytes - a.packedBytes);
  const sum = (key: "packedBytes" | "unpackedBytes") =>
    manifest.packages.reduce((total, entry) => total + entry[key], 0);
  const sizes = [
    [
      `${packages.length} packages`,
      formatSize(sum("packedBytes")),
      formatSize(sum("unpackedBytes")),
    ],
    ...parts.map(({ name, sizeBytes, unpackedBytes }) => [
      name,
      formatSize(sizeBytes),
      formatSize(unpackedBytes),
    ]),
  ];
  const total = Object.values(phases).reduce((all, spentMs) => all + spentMs, 0);
  return [
    `${manifest.appliance} ${manifest.version}, kernel ${manifest.kernelRelease}, ` +
      `${manifest.modules.length} modules, firmware ${formatSize(manifest.firmwareBytes)}`,
    "",
    ...formatTable(
      [
        { title: "in the image" },
        { title: "packed", align: right },
        { title: "unpacked", align: right },
      ],
      sizes,
    ),
    "",
    ...formatTable(
      [
        { title: "largest packages" },
        { title: "packed", align: right },
        { title: "unpacked", align: right },
      ],
      packages
        .slice(0, packagesShown)
        .map(({ name, packedBytes, unpackedBytes }) => [
          name,
          formatSize(packedBytes),
          formatSize(unpackedBytes),
        ]),
    ),
    "",
    ...formatTable(
      [{ title: "output" }, { title: "size", align: right }, { title: "sha256" }],
      manifest.outputs.map(({ file, sizeBytes, sha256 }) => [file, formatSize(sizeBytes), sha256]),
    ),
    "",
    `${(total / 1000).toFixed(1)} s: ${Object.entries(phases)
      .map(([phase, spentMs]) => `${phase} ${(spentMs / 1000).toFixed(1)}`)
      .join(", ")}`,
    ...(manifest.authorizedKeys.length > 0
      ? [`SSH: root, with the keys of ${manifest.authorizedKeys.join(", ")}`]
      : ["SSH: nobody can log in, since no public key was found or given (--ssh-key FILE)"]),
  ];
}
