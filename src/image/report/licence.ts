/**
 * Licences of a package out of its copyright file: the machine-readable form (DEP-5, "Machine-
 * readable debian/copyright file", 1.0) where it has one, the whole text elsewhere.
 */

/** A licence under the name that an SPDX expression can use. */
export interface Licence {
  /** An SPDX identifier, or `LicenseRef-…`. */
  readonly id: string;
  /** The text, for a `LicenseRef-` only. */
  readonly text?: string;
}

/** Debian's short names whose meaning the SPDX list has under another name. */
const spdxNames: Readonly<Record<string, string>> = {
  "Apache-2": "Apache-2.0",
  "Apache-2.0": "Apache-2.0",
  "Artistic-2.0": "Artistic-2.0",
  "BSD-2-clause": "BSD-2-Clause",
  "BSD-3-clause": "BSD-3-Clause",
  "BSL-1.0": "BSL-1.0",
  "CC0-1.0": "CC0-1.0",
  Expat: "MIT",
  "GFDL-1.3+": "GFDL-1.3-or-later",
  "GPL-1+": "GPL-1.0-or-later",
  "GPL-2": "GPL-2.0-only",
  "GPL-2+": "GPL-2.0-or-later",
  "GPL-3": "GPL-3.0-only",
  "GPL-3+": "GPL-3.0-or-later",
  ISC: "ISC",
  "LGPL-2": "LGPL-2.0-only",
  "LGPL-2+": "LGPL-2.0-or-later",
  "LGPL-2.1": "LGPL-2.1-only",
  "LGPL-2.1+": "LGPL-2.1-or-later",
  "LGPL-3": "LGPL-3.0-only",
  "LGPL-3+": "LGPL-3.0-or-later",
  "MPL-2.0": "MPL-2.0",
  Zlib: "Zlib",
};

/**
 * The licences that a copyright file names, sorted, each once.
 * @param packageName names the reference when the file has no machine-readable form.
 */
export function licencesOf(copyright: string, packageName: string): Licence[] {
  const machineReadable = /^format:.*(copyright-format|dep5)/im.test(copyright);
  if (!machineReadable) {
    return [{ id: reference(`Debian-${packageName}`), text: copyright.trim() }];
  }
  const texts = new Map<string, string>();
  for (const paragraph of copyright.split(/\n\s*\n/)) {
    const field = /^license:[ \t]*(.*(?:\n[ \t].*)*)/im.exec(paragraph);
    if (field === null) continue;
    const [names = "", ...lines] = field[1]!.split("\n");
    const text = lines.map((line) => line.replace(/^ \.?/, "")).join("\n");
    for (const name of names.split(/\s+(?:and|or|with)\s+|,\s*/i)) {
      const short = name.replace(/\s.*$/, "").trim();
      if (short !== "" && !texts.get(short)) texts.set(short, text.trim());
    }
  }
  const licences = [...texts].map(([short, text]): Licence => {
    const spdx = spdxNames[short];
    return spdx ? { id: spdx } : { id: reference(`Debian-${packageName}-${short}`), text };
  });
  const unique = new Map(licences.map((licence) => [licence.id, licence]));
  return [...unique.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** SPDX 2.3 clause 10.1: letters, digits, `-` and `.`. */
function reference(name: string): string {
  return `LicenseRef-${name.replace(/[^A-Za-z0-9.-]+/g, "-")}`;
}
