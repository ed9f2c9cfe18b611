/** Relations between packages: the values of `Depends` and its kin (deb-control(5)). */
import { ImageError } from "../error.ts";
import { type VersionOperator, versionSatisfies } from "./version.ts";

/** One package that a relation names, with what it asks of the version. */
export interface Relation {
  readonly name: string;
  /** What follows the name after a colon: `any`, `native` or an architecture. */
  readonly qualifier?: string;
  readonly constraint?: { readonly operator: VersionOperator; readonly version: string };
}

/** Alternatives in order of preference; one of them is enough. Never empty. */
export type RelationGroup = readonly Relation[];

/** Over text whose blanks are single; package names have no capitals (Debian policy, 5.6.1). */
const RELATION =
  /^([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))? ?(?:\( ?(<<|<=|>=|>>|=|<|>) ?([\w.+:~-]+) ?\))? ?(?:\[([^[\]]*)\])? ?(?:<[^<>]*> ?)*$/;

/**
 * Reads a relation field: groups parted by commas, alternatives by `|`.
 *
 * Alternatives that an architecture list rules out for `architecture` are left out, and so is a
 * group that becomes empty by it; build profiles mean nothing in a binary package.
 * @throws ImageError `package` that names the part that is no relation.
 */
export function parseRelations(field: string, architecture: string): readonly RelationGroup[] {
  const groups: RelationGroup[] = [];
  for (const part of field.split(",")) {
    if (part.trim() === "") {
      continue;
    }
    const group: Relation[] = [];
    for (const alternative of part.split("|")) {
      const relation = parseRelation(alternative.trim().replace(/\s+/g, " "), architecture);
      if (relation !== undefined) {
        group.push(relation);
      }
    }
    if (group.length > 0) {
      groups.push(group);
    }
  }
  return groups;
}

/** Whether a package of this version is what the relation asks for; its name is not looked at. */
export function versionMatches(relation: Relation, version: string): boolean {
  const { constraint } = relation;
  return (
    constraint === undefined || versionSatisfies(version, constraint.operator, constraint.version)
  );
}

/** A relation as a control file has it: `libfoo:any (>= 2)`. */
function showRelation(relation: Relation): string {
  const { name, qualifier, constraint } = relation;
  const tail = constraint === undefined ? "" : ` (${constraint.operator} ${constraint.version})`;
  return `${name}${qualifier === undefined ? "" : `:${qualifier}`}${tail}`;
}

/** A group as a control file has it: `mawk | gawk`. */
export function showGroup(group: RelationGroup): string {
  return group.map(showRelation).join(" | ");
}

function parseRelation(text: string, architecture: string): Relation | undefined {
  const match = RELATION.exec(text);
  if (match === null) {
    throw new ImageError(
      "package",
      `Cannot read a relation between packages: found ${JSON.stringify(text)}, wanted ` +
        "NAME (OPERATOR VERSION).",
      { text },
    );
  }
  const [, name, qualifier, operator, version, architectures] = match;
  if (architectures !== undefined && !appliesTo(architectures, architecture)) {
    return undefined;
  }
  return {
    name: name!,
    ...(qualifier === undefined ? {} : { qualifier }),
    ...(operator === undefined || version === undefined
      ? {}
      : { constraint: { operator: modernOperator(operator), version } }),
  };
}

/** A list of plain names means "only there", one of negated names "everywhere but there". */
function appliesTo(list: string, architecture: string): boolean {
  const names = list.trim().split(/\s+/);
  const isNegated = names[0]?.startsWith("!") ?? false;
  const isNamed = names.some((name) => {
    const wanted = name.replace(/^!/, "");
    return wanted === architecture || wanted === "any" || wanted === "linux-any";
  });
  return isNegated ? !isNamed : isNamed;
}

/** `<` and `>` are obsolete spellings of `<=` and `>=`. */
function modernOperator(operator: string): VersionOperator {
  switch (operator) {
    case "<":
      return "<=";
    case ">":
      return ">=";
    default:
      return operator as VersionOperator;
  }
}
