/** What is known of a kernel's share: it lies as JSON in the listing of the segment of modules. */

import * as v from "valibot";
import { type KernelReport, moduleClasses } from "../kernel/index.ts";

/** What only making the share tells. */
export interface KernelFacts {
  readonly release: string;
  readonly report: KernelReport;
}

const moduleClass = v.picklist(Object.keys(moduleClasses) as (keyof typeof moduleClasses)[]);
const rule = v.object({
  pattern: v.string(),
  leaveOut: v.exactOptional(v.literal(true)),
  because: v.string(),
});
const reason = v.variant("kind", [
  v.object({ kind: v.literal("class"), class: moduleClass, rule }),
  v.object({ kind: v.literal("named"), pattern: v.string() }),
  v.object({ kind: v.picklist(["dependency", "softdep"]), of: v.string() }),
]);
const module = v.object({
  name: v.string(),
  path: v.string(),
  packedBytes: v.number(),
  reason,
});
const form = v.object({
  release: v.string(),
  report: v.object({
    modules: v.array(module),
    modulePackedBytes: v.number(),
    moduleRawBytes: v.number(),
    firmwareBytes: v.number(),
    firmwareByModule: v.array(
      v.object({ module: v.string(), bytes: v.number(), files: v.number() }),
    ),
    firmwareMissing: v.array(v.object({ module: v.string(), name: v.string() })),
    unusedFirmwareExclusions: v.array(v.string()),
    unmatchedRules: v.array(v.object({ class: moduleClass, pattern: v.string() })),
  }),
});

/** The facts, or nothing where the text is none: of another version of this program. */
export function parseKernelFacts(text: string): KernelFacts | undefined {
  try {
    const found = v.safeParse(form, JSON.parse(text));
    return found.success ? found.output : undefined;
  } catch {
    return undefined;
  }
}
