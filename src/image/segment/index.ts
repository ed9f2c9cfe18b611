export { canonicalJson, type Json, segmentKey } from "./cache-key.ts";
export { type CpioContents, readCpio } from "./cpio.ts";
export {
  type CachedSegment,
  SegmentCache,
  type SegmentEvent,
  type SegmentLog,
} from "./driver-cache.ts";
export {
  type Codec,
  concatenateSegments,
  type ListedEntry,
  type ListingFacts,
  makeSegment,
  type Segment,
  type SegmentListing,
} from "./segment.ts";
