export { type Chunks, sliceChunks } from "./chunks.ts";
export { kernelRelease } from "./kernel.ts";
export { authenticodeHash, inspectPe, type PeImage, type PeSection, sectionContent } from "./pe.ts";
export { buildUki, type Uki, type UkiSections } from "./uki.ts";
