/** Finishing: from the listings of all segments to the entries of the last one. */

import type { ApplianceDefinition } from "../definition.ts";
import { type ExtraFile, type Finished, finishTree, type ListedNode } from "../finish/index.ts";
import type { Captured } from "../unpack/index.ts";
import type { ImageSegments } from "./driver-segments.ts";

/** What finishing needs of a build. */
export interface FinishRequest {
  readonly definition: ApplianceDefinition;
  readonly segments: ImageSegments;
  readonly files: ReadonlyMap<string, ExtraFile>;
  readonly ids: Readonly<Record<string, number>>;
  readonly epochSeconds: number;
}

/** Runs finishing on the union of all packages; later packages win, as they do in the initrd. */
export function finishImage(request: FinishRequest): Finished {
  const listing = new Map<string, ListedNode>();
  const contents = new Map<string, string>();
  for (const { segment } of request.segments.userland) {
    for (const { path, type, mode, uid, gid, target } of segment.listing.entries) {
      listing.set(path, { type, mode, uid, gid, ...(target === undefined ? {} : { target }) });
    }
    for (const [path, captured] of Object.entries(segment.listing.captured)) {
      const text = textOf(captured);
      if (text !== undefined) contents.set(path, text);
    }
  }
  for (const segment of [request.segments.node, request.segments.kernel.modules]) {
    for (const { path, type, mode, uid, gid } of segment?.listing.entries ?? []) {
      listing.set(path, { type, mode, uid, gid });
    }
  }
  const { definition, files, ids, epochSeconds } = request;
  return finishTree({ definition, listing, contents, files, ids, epochSeconds });
}

function textOf(captured: Captured): string | undefined {
  return "text" in captured ? captured.text : undefined;
}
