/** What was found of boxes, as a table for people. Pure. */

import { formatSize } from "../bytes/index.ts";
import type { DiskView } from "../rpc/index.ts";
import type { BoxLook, Looked } from "./box-look.ts";

const heads = [
  ...["BOX", "ADDRESS", "ACCESS", "DISK", "MODEL", "SERIAL", "SIZE", "BLOCK", "CONTENTS"],
  "ATTACHED",
];

/** Lines without line breaks; each column as wide as it needs to be. */
export function formatLooked({ boxes, foreign }: Looked): string[] {
  const rows = boxes.flatMap((box) => rowsOf(box, isTwin(box, boxes)));
  const others = foreign.map(({ name, addresses, port }) => {
    const where = addresses[0]?.includes(":") ? `[${addresses[0]}]` : addresses[0];
    return `Another NVMe discovery controller: ${name} at ${where}:${port}`;
  });
  const why = boxes.flatMap((box) => (box.kind === "open" ? [] : [`${box.name}: ${box.message}`]));
  return [...(rows.length === 0 ? [] : align([heads, ...rows])), ...others, ...why];
}

function rowsOf(box: BoxLook, isTwin: boolean): string[][] {
  const name = isTwin && box.kind === "open" ? box.description.fullName : box.name;
  if (box.kind === "not ours") return [[name, box.address, "not ours"]];
  if (box.kind === "failed") return [[name, box.address, box.code]];
  const { access, readOnly } = box.description;
  const first = [name, box.address, readOnly ? `${access}, read-only` : access];
  const disks = box.disks.map((disk) => [
    ...[disk.name, disk.model, disk.serial, formatSize(disk.sizeBytes)],
    ...[String(disk.blockSizeBytes), contentsOf(disk), attachedTo(disk, box)],
  ]);
  if (disks.length === 0) return [[...first, "no disks"]];
  return disks.map((cells, at) => [...(at === 0 ? first : ["", "", ""]), ...cells]);
}

function isTwin(box: BoxLook, boxes: readonly BoxLook[]): boolean {
  return boxes.some((other) => other !== box && other.name === box.name);
}

function contentsOf({ state, contents, readOnly }: DiskView): string {
  if (state.kind === "not exported") return `not offered: ${state.reason.text}`;
  if (state.kind === "failing") return `failing: ${state.error}`;
  return `${contents?.line ?? "?"}${readOnly ? " (read-only)" : ""}`;
}

/** Who has a grant on it; in open mode nobody needs one. */
function attachedTo(
  { name }: DiskView,
  { grants }: Extract<BoxLook, { readonly kind: "open" }>,
): string {
  return grants
    .filter(({ disks }) => disks.includes(name))
    .map(
      ({ purpose, hostnqn, mode }) => `${purpose || hostnqn}${mode === "rw" ? "" : ` (${mode})`}`,
    )
    .join("; ");
}

function align(rows: readonly (readonly string[])[]): string[] {
  const widths = heads.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
