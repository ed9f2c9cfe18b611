/** The door of finishing: names only. */

export { dropPaths } from "./drops.ts";
export { finishTree } from "./finish.ts";
export {
  capturePatterns,
  type ExtraFile,
  type Finished,
  type FinishInput,
  type ListedNode,
  type Listing,
  type Note,
  type NoteCode,
} from "./input.ts";
export { defaultMasks } from "./masks.ts";
export { reviewedScripts } from "./scripts.ts";
