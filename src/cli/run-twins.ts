/** Before an image is written: whether the firmware could tell its disk from the others of the box. */

import { bootPartitionGuids, type Image } from "../flash/index.ts";
import { RefusedError } from "./exit.ts";
import type { Found } from "./run-request.ts";

/**
 * Firmware finds a loader by its partition's GUID. The box refuses to boot one that two disks have;
 * then it is too late for the disk that was written.
 * @throws RefusedError that names both disks
 */
export async function refuseTwins(image: Image, found: readonly Found[]): Promise<void> {
  const guids = await bootPartitionGuids(image);
  for (const { request, place, disk, others } of found) {
    if (request.isForced) continue;
    for (const other of others) {
      const twins = other.contents?.partitions ?? [];
      const twin = twins.find(({ partUuid }) => guids.includes(partUuid.toLowerCase()));
      if (twin === undefined) continue;
      const name = (one: { readonly name: string; readonly serial: string }) =>
        one.serial === "" ? one.name : `${one.name} (${one.serial})`;
      throw new RefusedError(
        `Cannot boot ${image.facts.name} from ${name(disk)} of ${place.name}: partition ` +
          `${twin.number} of its disk ${name(other)} has the PARTUUID of the image's EFI system ` +
          `partition (${twin.partUuid}), so that the firmware could not tell them apart. Wipe or ` +
          "remove one of them, or build the image with other GUIDs; --force writes it all the same, " +
          "and leaves it to the box whether it boots it.",
      );
    }
  }
}
