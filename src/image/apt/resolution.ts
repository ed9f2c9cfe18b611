/** What resolving comes to: the packages and why they are in, or all that stands in the way. */
import { ImageError } from "../error.ts";
import type { PackageRecord } from "./packages.ts";

/** A package of the image, and why it is there. */
export interface ResolvedPackage {
  readonly record: PackageRecord;
  readonly reason:
    | { readonly kind: "wanted" }
    /** Brought in by the package `of`, whose field says `relation`. */
    | { readonly kind: "dependency"; readonly of: string; readonly relation: string };
}

/** A dependency that was left out, as the definition says. */
export interface LeftOut {
  readonly name: string;
  readonly reason: string;
  /** Packages that name it; sorted. */
  readonly askedBy: readonly string[];
}

/** All packages and all that was left out, each sorted by name. */
export interface Resolution {
  readonly packages: readonly ResolvedPackage[];
  readonly leftOut: readonly LeftOut[];
}

/** One thing that keeps packages from being resolved. */
export type Problem =
  /** A wanted name that no package has; `providers` have it as a virtual one. */
  | { readonly kind: "unknown"; readonly name: string; readonly providers: readonly string[] }
  /** `chain` goes from the appliance to the relation; `found` are its names' actual versions. */
  | {
      readonly kind: "unsatisfied";
      readonly chain: readonly string[];
      readonly found: readonly string[];
    }
  | {
      readonly kind: "conflict";
      readonly verb: "conflicts with" | "breaks";
      readonly chain: readonly string[];
      readonly relation: string;
      readonly other: string;
      readonly otherChain: readonly string[];
    }
  | { readonly kind: "wanted-and-excluded" | "idle-exclusion"; readonly name: string };

/** One error for all problems; they are its fact `problems`. */
export function problemsError(appliance: string, problems: readonly Problem[]): ImageError {
  const isDefinition = problems.every(
    ({ kind }) => kind === "idle-exclusion" || kind === "wanted-and-excluded",
  );
  const advice = isDefinition
    ? "Correct excludeDependencies in the definition."
    : "Check the definition's packages, release and components, or update the mirror.";
  const lines = problems.map((problem) => `\n  ${showProblem(problem)}`).join("");
  return new ImageError(
    isDefinition ? "definition" : "unsatisfied",
    `Cannot settle the packages of ${appliance}:${lines}\n${advice}`,
    { appliance, problems },
  );
}

/** A problem in one line. */
function showProblem(problem: Problem): string {
  switch (problem.kind) {
    case "unknown":
      return problem.providers.length === 0
        ? `${problem.name} is wanted, and there is no package of this name`
        : `${problem.name} is wanted, and is only provided by ${problem.providers.join(", ")}: ` +
            "name one of these";
    case "unsatisfied": {
      const found = problem.found.length === 0 ? "no such package" : problem.found.join(", ");
      return `${problem.chain.join(" → ")}: found ${found}`;
    }
    case "conflict":
      return (
        `${problem.chain.join(" → ")} ${problem.verb} ${problem.relation}: found ` +
        `${problem.other}, by ${problem.otherChain.join(" → ")}`
      );
    case "wanted-and-excluded":
      return `${problem.name} is both wanted and excluded`;
    case "idle-exclusion":
      return `${problem.name} is excluded, and no package asks for it`;
  }
}
