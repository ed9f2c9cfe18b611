/**
 * A Debian binary package: an `ar` of `debian-binary`, the control archive and the data archive.
 * Source: deb(5), format 2.0; deb-control(5) for the fields.
 */

import type { MaintainerScript } from "../lock.ts";
import { type ArMember, readAr } from "./ar.ts";
import { type Compression, compressionOf, decompress } from "./decompress.ts";
import { malformed } from "./malformed.ts";
import { readTar } from "./tar.ts";

/** A package that was opened; its data archive is decompressed only when asked for. */
export interface Deb {
  /** Names the package in messages. */
  readonly source: string;
  /** Fields of the control file: `Package`, `Version`, … in their order. */
  readonly control: ReadonlyMap<string, string>;
  /** The maintainer scripts that it has. */
  readonly scripts: ReadonlyMap<MaintainerScript, Uint8Array>;
  /** Absolute paths of its configuration files. */
  readonly conffiles: readonly string[];
  /** The data archive as it lies in the package, for those who decompress it elsewhere. */
  readonly compressedData: Uint8Array;
  /** Decompresses the data archive, a tar; each call does it again. */
  data(): Uint8Array;
}

/** All names that `Deb.scripts` knows. */
export const maintainerScripts = [
  "preinst",
  "postinst",
  "prerm",
  "postrm",
  "config",
  "triggers",
] as const satisfies readonly MaintainerScript[];

const suffixes: Readonly<Record<string, Compression>> = {
  ".xz": "xz",
  ".gz": "gzip",
  ".zst": "zstd",
  "": "none",
};

/** How long a control archive may be; the largest in Debian are below 2 MiB. */
const controlBytesMax = 64 * 1024 * 1024;

/**
 * Opens the package in `bytes`.
 * @param source names the package file in messages.
 * @throws ImageError `package` when it is no package of format 2.0, or its control part is broken.
 */
export function readDeb(bytes: Uint8Array, source: string): Deb {
  const [version, control, data, ...rest] = readAr(bytes, source).filter(isRelevant);
  checkVersion(version, source);
  const compressedControl = archiveOf(control, "control.tar", source);
  const compressedData = archiveOf(data, "data.tar", source);
  if (rest[0] !== undefined) {
    const found = `followed by ${JSON.stringify(rest[0].name)}`;
    throw malformed({ source, part: "the member data.tar", found, wanted: "the last" });
  }
  const files = readControlFiles(compressedControl, source);
  const text = (name: string) => new TextDecoder().decode(files.get(name));
  return {
    source,
    control: parseControl(text("control"), source),
    scripts: new Map(
      maintainerScripts.flatMap((name) => {
        const script = files.get(name);
        return script === undefined ? [] : [[name, script] as const];
      }),
    ),
    conffiles: text("conffiles").split("\n").filter(Boolean),
    compressedData,
    data: () => decompress(compressedData, `${source} (data.tar)`),
  };
}

/** Members that start with `_` are for others, such as signatures; dpkg skips them too. */
function isRelevant({ name }: ArMember): boolean {
  return !name.startsWith("_");
}

function checkVersion(member: ArMember | undefined, source: string): void {
  if (member?.name !== "debian-binary") {
    const found = member === undefined ? "missing" : JSON.stringify(member.name);
    throw malformed({ source, part: "its first member", found, wanted: `"debian-binary"` });
  }
  const text = String.fromCharCode(...member.data.subarray(0, 16));
  if (!/^2\.\d+\n/.test(text)) {
    const found = JSON.stringify(text);
    throw malformed({ source, part: "its format", found, wanted: `"2.0\\n"` });
  }
}

function archiveOf(member: ArMember | undefined, base: string, source: string): Uint8Array {
  const part = `the member ${base}`;
  if (member === undefined) {
    throw malformed({ source, part, found: "missing", wanted: `${base}.xz, .zst, .gz` });
  }
  const suffix = member.name.slice(base.length);
  const wanted = member.name.startsWith(base) ? suffixes[suffix] : undefined;
  if (wanted === undefined) {
    const found = `called ${JSON.stringify(member.name)}`;
    throw malformed({ source, part, found, wanted: `${base}, ${base}.xz, .zst or .gz` });
  }
  const found = compressionOf(member.data);
  if (found !== wanted) {
    const compressions = { found: `compressed with ${found}`, wanted: `with ${wanted}` };
    throw malformed({ source, part: `the member ${member.name}`, ...compressions });
  }
  return member.data;
}

function readControlFiles(compressed: Uint8Array, source: string): Map<string, Uint8Array> {
  const name = `${source} (control.tar)`;
  const files = new Map<string, Uint8Array>();
  for (const entry of readTar(decompress(compressed, name, controlBytesMax), name)) {
    if (entry.type === "file") files.set(entry.path.replace(/^\.?\//, ""), entry.data);
  }
  if (!files.has("control")) {
    throw malformed({ source, part: "the file control", found: "missing", wanted: "there" });
  }
  return files;
}

/** Fields of one paragraph; continuation lines keep their leading space and are joined by `\n`. */
function parseControl(text: string, source: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last: string | undefined;
  for (const line of text.split("\n")) {
    const field = /^([!-9;-~]+):[ \t]*(.*)$/.exec(line);
    if (field !== null) {
      last = field[1]!;
      fields.set(last, field[2]!.trimEnd());
    } else if (/^[ \t]/.test(line) && last !== undefined) {
      fields.set(last, `${fields.get(last)}\n${line.trimEnd()}`);
    } else if (line !== "" && !line.startsWith("#")) {
      const found = `in the line ${JSON.stringify(line.slice(0, 80))}`;
      throw malformed({ source, part: "the file control", found, wanted: "`Field: value`" });
    }
  }
  for (const wanted of ["Package", "Version", "Architecture"]) {
    if (fields.has(wanted)) continue;
    throw malformed({ source, part: "the file control", found: `without ${wanted}`, wanted });
  }
  return fields;
}
