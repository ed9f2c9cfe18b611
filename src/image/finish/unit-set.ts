/** Which units there are, and where: what packages ship and what the definition adds. */

import type { Listing } from "./input.ts";
import { parseUnitName, templateOf } from "./unit-file.ts";

/** Folders of system units, the stronger one first. */
export const unitFolders = ["etc/systemd/system/", "usr/lib/systemd/system/"] as const;

/** A unit that was found. */
export type FoundUnit =
  | {
      readonly kind: "unit";
      /** Canonical path of the unit's file; of its template, for an instance. */
      readonly path: string;
      /** Name by which it is linked; an alias that was asked for is resolved to its unit. */
      readonly name: string;
      /** Text of the file and of its drop-ins. */
      readonly texts: readonly string[];
    }
  | { readonly kind: "masked"; readonly path: string };

/** Units by name. */
export interface UnitSet {
  readonly names: readonly string[];
  /** The link `X.wants/UNIT` and the like that packages ship: folder name and unit. */
  readonly shippedLinks: readonly { readonly path: string; readonly unit: string }[];
  find(name: string): FoundUnit | undefined;
}

/** Links of `a.target.wants/b.service`. */
const dependencyLink = /^usr\/lib\/systemd\/system\/[^/]+\.(?:wants|requires|upholds)\/([^/]+)$/;

/** Takes stock of the units; `texts` holds both the captured files and those of the definition. */
export function findUnits(listing: Listing, texts: ReadonlyMap<string, string>): UnitSet {
  const targets = new Map<string, string | undefined>();
  const shippedLinks: { path: string; unit: string }[] = [];
  for (const [path, node] of listing) {
    targets.set(path, node.type === "symlink" ? node.target : undefined);
    const unit = node.type === "symlink" ? dependencyLink.exec(path)?.[1] : undefined;
    if (unit !== undefined) {
      shippedLinks.push({ path, unit });
    }
  }
  for (const path of texts.keys()) {
    targets.set(path, undefined);
  }
  const names = new Set<string>();
  for (const path of targets.keys()) {
    const unit = baseNameOf(path);
    if (unit !== undefined && parseUnitName(unit) !== undefined) {
      names.add(unit);
    }
  }

  const find = (name: string, asked = name): FoundUnit | undefined => {
    const path = unitFolders.map((folder) => folder + name).find((each) => targets.has(each));
    const parts = parseUnitName(name);
    if (path === undefined) {
      const isInstance = parts?.instance !== undefined && parts.instance !== "";
      return isInstance ? find(templateOf(parts), asked) : undefined;
    }
    const target = targets.get(path);
    if (target === "/dev/null") {
      return { kind: "masked", path };
    }
    if (target !== undefined) {
      const unit = target.slice(target.lastIndexOf("/") + 1);
      return unit === name ? undefined : find(unit, asked === name ? unit : asked);
    }
    const text = texts.get(path);
    return text === undefined
      ? undefined
      : { kind: "unit", path, name: asked, texts: [text, ...dropIns(name, texts)] };
  };
  return { names: [...names].sort(), shippedLinks, find };
}

/** The last part of a path directly in one of the unit folders. */
function baseNameOf(path: string): string | undefined {
  const folder = unitFolders.find((each) => path.startsWith(each));
  const rest = folder === undefined ? "" : path.slice(folder.length);
  return rest === "" || rest.includes("/") ? undefined : rest;
}

/** Texts of `NAME.d/*.conf`, by file name; one in `etc` hides its namesake in `usr/lib`. */
function dropIns(name: string, texts: ReadonlyMap<string, string>): string[] {
  const byFile = new Map<string, string>();
  for (const folder of unitFolders.toReversed()) {
    for (const [path, text] of texts) {
      if (path.startsWith(`${folder}${name}.d/`) && path.endsWith(".conf")) {
        byFile.set(path.slice(folder.length), text);
      }
    }
  }
  return [...byFile.keys()].sort().map((key) => byFile.get(key)!);
}
