export {
  type ChangedPackage,
  type ChangedScript,
  compareLocks,
  formatLockChanges,
  type LockChanges,
} from "./changes.ts";
export { type AptDirectory, findMirrors, findProxy } from "./driver-apt.ts";
export {
  type IndexEvent,
  type LoadedIndex,
  type LoadIndexOptions,
  loadIndex,
} from "./driver-index.ts";
export { parseLock, stringifyLock } from "./lockfile.ts";
export {
  indexRecords,
  type PackageIndex,
  type PackageRecord,
  type PackageSource,
  recordFromControl,
} from "./packages.ts";
export {
  type LeftOut,
  type Problem,
  problemsError,
  type Resolution,
  type ResolvedPackage,
} from "./resolution.ts";
export { type ResolveRequest, resolvePackages } from "./resolve.ts";
export type { ArchiveName, MirrorOptions, Mirrors } from "./sources.ts";
export { compareVersions } from "./version.ts";
