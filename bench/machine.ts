/** What a figure was measured on. */

import { cpus, totalmem } from "node:os";

/** `2 × MODEL, 24 GiB; Node v24.21.0, libzstd 1.5.7`. */
export function describeMachine(): string {
  const [first] = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${cpus().length} × ${first?.model.trim()}, ${memory}; Node ${process.version}, libzstd ${process.versions.zstd}`;
}
