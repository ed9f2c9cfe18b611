/** Who else claims a namespace: what Reservation Report says. NVMe Base 2.0 §7.5, §8.19. */

import type { CallOptions } from "../block/index.ts";
import {
  command,
  decodeReservationStatus,
  reservationStatusHeader,
  reservationType,
  uuidText,
} from "../nvme/index.ts";
import type { Controller } from "./controller.ts";
import { InitiatorError } from "./error.ts";
import { isUnknownToController } from "./namespace.ts";

/** A reservation of a namespace. */
export interface Reservation {
  /** Name of its type; a number where that is not known. */
  readonly type: keyof typeof reservationType | number;
  /** Host identifiers that hold it, as UUIDs. */
  readonly holders: readonly string[];
}

/** Room for the header and 63 registrants; of more than that only the type is told. */
const reportBytes = 4096;

/**
 * The reservation that holds on a namespace; undefined where there is none, or where the controller
 * knows no reservations.
 * @throws InitiatorError.
 */
export async function readReservation(
  controller: Controller,
  nsid: number,
  options: CallOptions = {},
): Promise<Reservation | undefined> {
  if (!controller.identify.oncs.reservations) return undefined;
  const target = new Uint8Array(reportBytes);
  const report = { nsid, numd: reportBytes / 4, structure: { eds: true } };
  try {
    const transfer = { kind: "in", target } as const;
    await controller.executeIo(command("reservationReport", report), { transfer, ...options });
  } catch (error) {
    // Some controllers have the bit for namespaces that cannot be reserved, too.
    const status = error instanceof InitiatorError ? error.facts.status : undefined;
    if (isUnknownToController(status)) return undefined;
    throw error;
  }
  const { rtype } = reservationStatusHeader.decode(target);
  if (rtype === reservationType.none) return undefined;
  const names = Object.keys(reservationType) as (keyof typeof reservationType)[];
  const type = names.find((name) => reservationType[name] === rtype) ?? rtype;
  const registrants = decodeReservationStatus(target)?.registrants ?? [];
  const holders = registrants.filter(({ rcsts }) => rcsts.holder);
  return { type, holders: holders.map(({ hostid }) => uuidText(hostid)) };
}
