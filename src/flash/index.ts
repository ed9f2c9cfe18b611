export {
  type CompareReport,
  type CompareRequest,
  compareImage,
} from "./compare.ts";
export { imageOfDisk } from "./disk-image.ts";
export { isReopenable, type OpenImageOptions, openImage } from "./driver-image.ts";
export { openSaveFile, type SaveFileOptions, type SaveFormat } from "./driver-save.ts";
export { FlashError, type FlashErrorCode } from "./error.ts";
export {
  type FlashReport,
  type FlashRequest,
  type FlashTarget,
  flashImage,
  type TargetResult,
} from "./flash.ts";
export type { DigestedPiece, Image, ImageFacts, RandomImage, ReopenImage } from "./image.ts";
export { openHasher } from "./integrity/driver-hasher.ts";
export type { Hasher } from "./integrity/hasher.ts";
export { parseKey, type TrustedKey } from "./integrity/sidecars.ts";
export { type DiskFacts, lookAtDisk, type Ownership } from "./look.ts";
export {
  confirmationHint,
  confirms,
  type Plan,
  type PlanOptions,
  type PlanStep,
  type PlanTarget,
  planFlash,
  type Refusal,
  type RefusalCode,
} from "./plan.ts";
export type { Bottleneck, ModeEvent, Phase, ProgressEvent } from "./progress.ts";
export { type SaveOutput, type SaveReport, type SaveRequest, saveDisk } from "./save.ts";
export { formatSeconds } from "./size.ts";
export type { DiskHashing, DiskIdentity, DiskRange, Target } from "./target.ts";
export { formatRanges } from "./write/digests.ts";
export type { Mode } from "./write/mode.ts";
export type { WriteCounts } from "./write/writer.ts";
