export {
  type BuildEvent,
  type BuildOptions,
  type BuildPhase,
  type BuildReport,
  buildAppliance,
  type Compression,
  codecsOf,
  formatReport,
  type Manifest,
  type Output,
  type UpdateRule,
} from "./build/index.ts";
export {
  type ApplianceDefinition,
  defineAppliance,
  type FileDefinition,
  type KernelDefinition,
  type ModuleClass,
} from "./definition.ts";
export type { Entry } from "./entry.ts";
export { ImageError, type ImageErrorCode } from "./error.ts";
export { makeSshKey, readPublicKey, type SshKeyPair } from "./ssh-key.ts";
