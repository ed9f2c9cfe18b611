/** The bill of materials of an image, as an SPDX 2.3 document. */

import type { Licence } from "./licence.ts";

/** One thing that went into the image. */
export interface Component {
  readonly name: string;
  readonly version: string;
  /** Package URL: `pkg:deb/debian/bash@5.2.37-2?arch=amd64&distro=trixie`. */
  readonly purl: string;
  /** What was fetched, by hash. */
  readonly checksum: { readonly algorithm: "SHA256" | "SHA512"; readonly hex: string };
  readonly supplier?: string;
  readonly homepage?: string;
  readonly licences: readonly Licence[];
}

/** What the document is about. */
export interface SbomSubject {
  readonly name: string;
  readonly version: string;
  /** File name and hash of the EFI file. */
  readonly file: string;
  readonly sha256: string;
  /** Seconds since 1970; stands as the creation date, so that the document is reproducible. */
  readonly epochSeconds: number;
  readonly components: readonly Component[];
}

/** The SPDX document as a value; the same input gives the same document. */
export function makeSbom(subject: SbomSubject): Readonly<Record<string, unknown>> {
  const extracted = new Map<string, string>();
  for (const { licences } of subject.components) {
    for (const { id, text } of licences) {
      if (id.startsWith("LicenseRef-")) extracted.set(id, text || "See the package.");
    }
  }
  const image = "SPDXRef-image";
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `${subject.name}-${subject.version}`,
    documentNamespace: `urn:diskomator:spdx:${subject.name}-${subject.version}-${subject.sha256}`,
    creationInfo: {
      created: new Date(subject.epochSeconds * 1000).toISOString().replace(".000Z", "Z"),
      creators: ["Tool: diskomator"],
    },
    documentDescribes: [image],
    packages: [
      {
        SPDXID: image,
        name: subject.name,
        versionInfo: subject.version,
        packageFileName: subject.file,
        downloadLocation: "NOASSERTION",
        filesAnalyzed: false,
        checksums: [{ algorithm: "SHA256", checksumValue: subject.sha256 }],
        licenseConcluded: "NOASSERTION",
        licenseDeclared: "NOASSERTION",
        copyrightText: "NOASSERTION",
        primaryPackagePurpose: "OPERATING-SYSTEM",
      },
      ...subject.components.map(describeComponent),
    ],
    relationships: subject.components.map((component) => ({
      spdxElementId: image,
      relationshipType: "CONTAINS",
      relatedSpdxElement: idOf(component),
    })),
    hasExtractedLicensingInfos: [...extracted]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([licenseId, extractedText]) => ({ licenseId, extractedText })),
  };
}

function describeComponent(component: Component): Readonly<Record<string, unknown>> {
  const { licences } = component;
  return {
    SPDXID: idOf(component),
    name: component.name,
    versionInfo: component.version,
    ...(component.supplier ? { supplier: `Organization: ${component.supplier}` } : {}),
    ...(component.homepage ? { homepage: component.homepage } : {}),
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    checksums: [{ algorithm: component.checksum.algorithm, checksumValue: component.checksum.hex }],
    licenseConcluded: "NOASSERTION",
    licenseDeclared: licences.length ? licences.map(({ id }) => id).join(" AND ") : "NOASSERTION",
    copyrightText: "NOASSERTION",
    externalRefs: [
      {
        referenceCategory: "PACKAGE-MANAGER",
        referenceType: "purl",
        referenceLocator: component.purl,
      },
    ],
  };
}

function idOf(component: Component): string {
  return `SPDXRef-${component.name.replace(/[^A-Za-z0-9.-]+/g, "-")}`;
}
