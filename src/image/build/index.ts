export { buildAppliance } from "./driver-build.ts";
export { loadDefinition } from "./driver-definition.ts";
export {
  type BuildEvent,
  type BuildOptions,
  type BuildPhase,
  type Compression,
  codecsOf,
  type UpdateRule,
} from "./options.ts";
export { type BuildReport, formatReport, type Manifest, type Output } from "./report.ts";
