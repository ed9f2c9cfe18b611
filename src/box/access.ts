/** How our own host uses what a box has granted. */

import type { Address, ControllerOptions } from "../initiator/index.ts";
import type { GrantedAccess } from "../rpc/index.ts";
import { BoxError } from "./error.ts";
import { type Place, portAt } from "./place.ts";

/** How to connect to one granted disk. */
export type GrantedConnection = Address &
  Pick<ControllerOptions, "subsystemNqn" | "hostNqn" | "authentication" | "tls">;

/**
 * Options for `connectController`.
 * @param address at which the box was reached
 * @param options.isEncrypted false: keys prove both ends, and what is read and written is in the clear
 * @throws BoxError `unsupported` where encryption is wanted and the box has none.
 */
export function grantedConnection(
  access: GrantedAccess,
  disk: GrantedAccess["disks"][number],
  place: Place,
  address: string,
  { isEncrypted }: { readonly isEncrypted: boolean },
): GrantedConnection {
  const { hostnqn, secrets, tlsPsk } = access;
  const authentication = { secret: secrets.host, controllerSecret: secrets.controller };
  const where = {
    host: address,
    port: portAt(place, disk.port),
    subsystemNqn: disk.nqn,
    hostNqn: hostnqn,
    authentication,
  };
  if (!isEncrypted) return where;
  if (tlsPsk === null || disk.tlsIdentity === null) {
    throw new BoxError(
      "unsupported",
      `The box ${place.name} cannot encrypt what goes to and from ${disk.name}. ` +
        "Use --no-tls on a network that you trust.",
      { box: place.name, disk: disk.name },
    );
  }
  return { ...where, tls: { key: tlsPsk } };
}
