/** Which box, which disk: by name, of those that there are. */

import { formatSize } from "../bytes/index.ts";
import type { DiskView } from "../rpc/index.ts";
import { BoxError } from "./error.ts";

/** A disk of a box, as far as choosing goes. */
export type DiskChoice = Pick<
  DiskView,
  "name" | "serial" | "model" | "sizeBytes" | "identity" | "state" | "contents"
>;

/**
 * The one disk of a box that is called so.
 * @param wanted kernel name, serial number, NQN or its last part, identity, or a label of what lies
 *   on it; undefined for the only one that can be had
 * @throws BoxError `no-such-disk`, `ambiguous-disk` with the list of those that there are.
 */
export function chooseDisk<D extends DiskChoice>(
  disks: readonly D[],
  wanted: string | undefined,
  box: string,
): D {
  const offered = disks.filter(({ state }) => state.kind === "exported");
  const facts = { box, wanted, disks: disks.map(({ name, serial }) => ({ name, serial })) };
  if (wanted === undefined) {
    const [only, ...others] = offered;
    if (only !== undefined && others.length === 0) return only;
    if (only === undefined) {
      const none = `The box ${box} offers no disk`;
      throw new BoxError("no-such-disk", `${none}${listed(disks, box)}`, facts);
    }
    const several = `Name a disk of ${box}: it has ${offered.length}`;
    throw new BoxError("ambiguous-disk", `${several}${listed(offered, box)}`, facts);
  }
  for (const isCalled of ways) {
    const found = disks.filter((disk) => isCalled(disk, wanted));
    const [only, ...others] = found;
    if (only !== undefined && others.length === 0) return only;
    if (only !== undefined) {
      const several = `${found.length} disks of ${box} are called ${wanted}`;
      throw new BoxError("ambiguous-disk", `${several}${listed(found, box)}`, facts);
    }
  }
  const none = `No disk of ${box} is called ${wanted}`;
  throw new BoxError("no-such-disk", `${none}${listed(disks, box)}`, facts);
}

/** From what names a disk best to what names it least: the first way that fits one decides. */
const ways: readonly ((disk: DiskChoice, wanted: string) => boolean)[] = [
  ({ name }, wanted) => name === wanted || `/dev/${name}` === wanted,
  ({ serial }, wanted) => serial !== "" && serial === wanted,
  ({ serial }, wanted) => serial.toLowerCase() === wanted.toLowerCase() && serial !== "",
  ({ identity }, wanted) => identity.value === wanted,
  ({ state }, wanted) =>
    state.kind === "exported" && (state.nqn === wanted || state.nqn.endsWith(`:${wanted}`)),
  ({ contents }, wanted) =>
    contents?.partitions.some(({ label, name }) => label === wanted || name === wanted) ?? false,
];

function listed(disks: readonly DiskChoice[], box: string): string {
  if (disks.length === 0) return "; it has none.";
  const rows = disks.map(({ name, serial, model, sizeBytes, state }) => {
    const why =
      state.kind === "not exported"
        ? `  (not available: ${state.reason.text})`
        : state.kind === "failing"
          ? `  (failing: ${state.error})`
          : "";
    const size = formatSize(sizeBytes);
    const isOnly = serial !== "" && disks.filter((one) => one.serial === serial).length === 1;
    return `  ${box}:${isOnly ? serial : name}  ${name}  ${model}  ${size}${why}`;
  });
  return `:\n${rows.join("\n")}`;
}

/**
 * Asserts that a disk can be had.
 * @throws BoxError `no-such-disk` that says why not.
 */
export function assertOffered(disk: DiskChoice, box: string): void {
  const { state, name } = disk;
  if (state.kind === "exported") return;
  const why = state.kind === "failing" ? state.error : state.reason.text;
  const message = `Cannot use the disk ${name} of ${box}: ${why}. "diskomator ls ${box}" lists the others.`;
  throw new BoxError("no-such-disk", message, { box, disk: name, state: state.kind });
}
