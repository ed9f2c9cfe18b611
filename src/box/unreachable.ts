/** What is said when nobody answers at a box's addresses. */

import { BoxError } from "./error.ts";

/** An address that was tried in vain. */
export interface VainTry {
  readonly address: string;
  readonly port: number;
  /** What is wrong with it, in a word or two. */
  readonly fault: string;
  readonly error: unknown;
}

/** All addresses of a box were tried in vain. */
export function unreachableError(box: string, tries: readonly VainTry[]): BoxError {
  const faults = tries.map(({ address, port, fault }) => `${address} port ${port}: ${fault}`);
  return new BoxError(
    "unreachable",
    `Cannot reach ${box}: ${faults.join("; ") || "no address of it is known"}. ` +
      "Check that it is on and booted from an image with SSH, and its address.",
    { box, addresses: tries.map(({ address }) => address), port: tries[0]?.port },
    { cause: new AggregateError(tries.map(({ error }) => error)) },
  );
}
