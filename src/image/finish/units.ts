/** `systemctl enable`, `mask` and `set-default`, as links in `/etc/systemd/system`. */

import { ImageError } from "../error.ts";
import type { Note } from "./input.ts";
import { nearSentence } from "./near.ts";
import { file, type Piece, symlink } from "./piece.ts";
import { type Install, parseInstall, parseUnitName, templateOf } from "./unit-file.ts";
import { type FoundUnit, type UnitSet, unitFolders } from "./unit-set.ts";

/** What is to run and what must not. */
export interface UnitWishes {
  /** Units to enable; also un-masks one that only `defaultMasks` names. */
  readonly enable: readonly string[];
  /** Units that must never start, by name. */
  readonly mask: readonly string[];
  readonly defaultTarget: string;
  /** Unit → why it is masked wherever a package ships it. */
  readonly defaultMasks: Readonly<Record<string, string>>;
}

const folder = unitFolders[0];
type Unit = Extract<FoundUnit, { kind: "unit" }>;

/**
 * All links, and a preset file that says the same, so that `systemctl preset-all` changes nothing.
 * @throws ImageError `definition` for a unit that does not exist, cannot be enabled, or is both
 *   enabled and masked.
 */
export function unitLinks(units: UnitSet, wishes: UnitWishes): { pieces: Piece[]; notes: Note[] } {
  const enabler = new Enabler(units);
  const unmasked = new Set<string>();
  for (const name of wishes.enable) {
    if (Object.hasOwn(wishes.defaultMasks, name)) {
      unmasked.add(name);
    }
    if (wishes.mask.includes(name)) {
      throw wrong(`Cannot enable ${name}: the definition masks it too. Choose one.`, { name });
    }
    enabler.enable(name, unmasked.has(name));
  }
  const masks = maskLinks(units, wishes, unmasked, enabler.notes);
  const links = [...enabler.links].map(([path, target]) => symlink(path, target));
  const target = find(units, wishes.defaultTarget, "boot into");
  const pieces = [
    ...links,
    ...masks.map((name) => symlink(folder + name, "/dev/null")),
    symlink(`${folder}default.target`, `/${target.path}`),
    presetFile([...new Set([...enabler.enabled, target.name])]),
  ];
  const known = new Set([...masks, ...Object.keys(wishes.defaultMasks)]);
  return { pieces, notes: [...enabler.notes, ...shippedNotes(units, known)] };
}

/** One note for each unit that a package's own link starts; an appliance is never in an initrd. */
function shippedNotes(units: UnitSet, known: ReadonlySet<string>): Note[] {
  const noted = new Map<string, Note>();
  for (const { path, unit } of units.shippedLinks) {
    if (!known.has(unit) && !noted.has(unit) && !path.startsWith(`${unitFolders[1]}initrd`)) {
      const message = `${unit} starts because a package ships ${path}; mask it to prevent that.`;
      noted.set(unit, { code: "shipped-link", subject: unit, message });
    }
  }
  return [...noted.values()];
}

function wrong(message: string, facts: Record<string, unknown>): ImageError {
  return new ImageError("definition", message, facts);
}

/** The unit, or an error that says what may have been meant. */
function find(units: UnitSet, name: string, verb: string): Unit {
  const found = units.find(name);
  if (found === undefined) {
    const near = nearSentence(name, units.names);
    throw wrong(`Cannot ${verb} ${name}: no package or file brings this unit.${near}`, { name });
  }
  if (found.kind === "masked") {
    throw wrong(`Cannot ${verb} ${name}: its package masks it (/${found.path}).`, { name });
  }
  return found;
}

/** Masks of the definition and the default ones; a unit file of our own cannot be masked. */
function maskLinks(
  units: UnitSet,
  wishes: UnitWishes,
  unmasked: ReadonlySet<string>,
  notes: Note[],
): string[] {
  const masks = new Set<string>();
  for (const name of wishes.mask) {
    if (parseUnitName(name) === undefined) {
      throw wrong(`Cannot mask ${name}: this is no name of a unit.`, { name });
    }
    const found = units.find(name);
    if (found === undefined) {
      const near = nearSentence(name, units.names);
      const message = `The definition masks ${name}, which nothing brings.${near}`;
      notes.push({ code: "mask", subject: name, message });
    } else if (found.path.startsWith(folder)) {
      throw wrong(`Cannot mask ${name}: the definition has a file at ${found.path}.`, { name });
    }
    masks.add(name);
  }
  for (const name of Object.keys(wishes.defaultMasks)) {
    const found = units.find(name);
    const ours = found?.path.startsWith(folder);
    if (found?.kind === "unit" && ours === false && !unmasked.has(name)) {
      masks.add(name);
    }
  }
  return [...masks];
}

/**
 * `systemctl preset-all` takes the first line that matches, so nothing after ours counts. The
 * default target is in it because disabling a unit removes every link to it.
 */
function presetFile(enabled: readonly string[]): Piece {
  const lines = enabled.map((name) => {
    const parts = parseUnitName(name)!;
    return parts.instance ? `enable ${templateOf(parts)} ${parts.instance}` : `enable ${name}`;
  });
  return file(
    "etc/systemd/system-preset/00-diskomator.preset",
    ["# Exactly what the image's definition enables.", ...lines.sort(), "disable *", ""].join("\n"),
  );
}

/** Collects links; each unit once, `Also=` followed. */
class Enabler {
  readonly links = new Map<string, string>();
  readonly enabled = new Set<string>();
  readonly notes: Note[] = [];
  readonly #units: UnitSet;

  constructor(units: UnitSet) {
    this.#units = units;
  }

  enable(asked: string, mayBeStatic: boolean): void {
    const unit = find(this.#units, asked, "enable");
    const install = parseInstall(unit.texts);
    const directives = [install.wantedBy, install.requiredBy, install.upheldBy, install.alias];
    if (directives.every((list) => list.length === 0) && install.also.length === 0) {
      if (mayBeStatic) {
        return;
      }
      throw wrong(
        `Cannot enable ${asked}: it has no [Install] section, so other units start it or nothing ` +
          "does. Leave it out of `enable`.",
        { name: asked },
      );
    }
    const name = withInstance(unit.name, install);
    if (this.enabled.has(name)) {
      return;
    }
    this.enabled.add(name);
    this.#linkAll(unit, name, install);
    for (const also of install.also) {
      this.#enableAlso(name, also);
    }
  }

  #linkAll(unit: Unit, name: string, install: Install): void {
    const relations = [
      [install.wantedBy, "wants"],
      [install.requiredBy, "requires"],
      [install.upheldBy, "upholds"],
    ] as const;
    for (const [targets, relation] of relations) {
      for (const target of targets) {
        this.#link(`${expandSpecifiers(target, name)}.${relation}/${name}`, unit);
      }
    }
    for (const alias of install.alias) {
      this.#link(aliasName(expandSpecifiers(alias, name), name), unit);
    }
  }

  #link(link: string, unit: Unit): void {
    const target = `/${unit.path}`;
    const earlier = this.links.get(folder + link);
    if (earlier !== undefined && earlier !== target) {
      throw wrong(`Cannot enable ${unit.name}: ${link} already leads to ${earlier}.`, {
        name: unit.name,
        link,
      });
    }
    this.links.set(folder + link, target);
  }

  #enableAlso(by: string, also: string): void {
    const name = expandSpecifiers(also, by);
    if (this.#units.find(name)?.kind === "unit") {
      const isNew = !this.enabled.has(name);
      this.enable(name, true);
      if (isNew && this.enabled.has(name)) {
        const message = `${name} is enabled because ${by} says Also=.`;
        this.notes.push({ code: "also", subject: name, message });
      }
    } else {
      const message = `${by} says Also=${name}, which is not there.`;
      this.notes.push({ code: "also", subject: name, message });
    }
  }
}

/** A template without an instance is linked as its default one. */
function withInstance(name: string, install: Install): string {
  const parts = parseUnitName(name)!;
  if (parts.instance !== "") {
    return name;
  }
  if (install.defaultInstance === undefined) {
    throw wrong(
      `Cannot enable ${name}: it is a template without a default instance. ` +
        `Name one: ${parts.prefix}@INSTANCE.${parts.suffix}.`,
      { name },
    );
  }
  return `${parts.prefix}@${install.defaultInstance}.${parts.suffix}`;
}

/** An alias that is a template stands for the same instance. */
function aliasName(alias: string, name: string): string {
  const parts = parseUnitName(alias);
  const instance = parseUnitName(name)?.instance;
  return parts?.instance === "" && instance ? `${parts.prefix}@${instance}.${parts.suffix}` : alias;
}

/** The specifiers of systemd.unit(5) that depend on the unit's name alone. */
function expandSpecifiers(text: string, name: string): string {
  const { prefix, instance = "" } = parseUnitName(name)!;
  return text.replace(/%(.?)/g, (specifier, letter: string) => {
    switch (letter) {
      case "n":
        return name;
      case "N":
        return name.slice(0, name.lastIndexOf("."));
      case "p":
        return prefix;
      case "i":
        return instance;
      case "j":
        return prefix.slice(prefix.lastIndexOf("-") + 1);
      case "%":
        return "%";
      default:
        throw wrong(
          `Cannot enable ${name}: its [Install] section uses ${specifier}, which is not known ` +
            "when an image is built.",
          { name, specifier },
        );
    }
  });
}
