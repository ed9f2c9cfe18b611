/** What a kernel module says of itself in `.modinfo` (Linux `include/linux/module.h`). */

/** The fields of `.modinfo` that choosing and indexing need, each in file order. */
export interface ModuleInfo {
  /** Patterns over modaliases: `pci:v00008086d*`, `crypto-gcm`, `fs-vfat`. */
  readonly aliases: readonly string[];
  /** Names of modules whose symbols it uses, as modpost wrote them; no built-in ones. */
  readonly depends: readonly string[];
  /** Raw texts such as `pre: a b post: c`. */
  readonly softdeps: readonly string[];
  /** Raw texts: names separated by spaces; they are no reason to choose a module. */
  readonly weakdeps: readonly string[];
  /** Paths below `/lib/firmware`; some hold `*`. */
  readonly firmware: readonly string[];
}

/** Parses the NUL-separated `key=value` records; other keys are ignored. */
export function parseModinfo(section: Uint8Array): ModuleInfo {
  const info = {
    aliases: [] as string[],
    depends: [] as string[],
    softdeps: [] as string[],
    weakdeps: [] as string[],
    firmware: [] as string[],
  };
  for (const { key, value } of records(section)) {
    if (key === "alias") info.aliases.push(value);
    else if (key === "depends") info.depends.push(...value.split(",").filter((s) => s !== ""));
    else if (key === "softdep") info.softdeps.push(value);
    else if (key === "weakdep") info.weakdeps.push(value);
    else if (key === "firmware") info.firmware.push(value);
  }
  return info;
}

/** An alias of a module that is built into the kernel. */
export interface BuiltinAlias {
  readonly module: string;
  readonly alias: string;
}

/** The aliases in `modules.builtin.modinfo`: NUL-separated `module.key=value` records. */
export function parseBuiltinAliases(file: Uint8Array): BuiltinAlias[] {
  const aliases: BuiltinAlias[] = [];
  for (const { key, value } of records(file)) {
    const dot = key.indexOf(".");
    if (dot > 0 && key.slice(dot + 1) === "alias" && value !== "") {
      aliases.push({ module: key.slice(0, dot), alias: value });
    }
  }
  return aliases;
}

/** Module names of a `softdep` text, those before and those after alike: `pre: a post: b`. */
export function softdepNames(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "" && !word.endsWith(":"));
}

/** The name that the kernel uses: `kernel/lib/crc-t10dif.ko.xz`, `crc-t10dif` → `crc_t10dif`. */
export function moduleName(pathOrName: string): string {
  const base = pathOrName.slice(pathOrName.lastIndexOf("/") + 1);
  const end = base.indexOf(".ko");
  return (end < 0 ? base : base.slice(0, end)).replaceAll("-", "_");
}

function* records(section: Uint8Array): Generator<{ key: string; value: string }> {
  const text = Buffer.from(section.buffer, section.byteOffset, section.length).toString("latin1");
  for (const record of text.split("\0")) {
    const equals = record.indexOf("=");
    if (equals > 0) yield { key: record.slice(0, equals), value: record.slice(equals + 1) };
  }
}
