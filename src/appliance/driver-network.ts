/** The box's addresses, now and whenever they change. */
import { networkInterfaces } from "node:os";
import { runCompanion } from "./driver-process.ts";
import { type Address, listAddresses } from "./network.ts";

/** Addresses come in bursts: one look per burst is enough. */
const settleMs = 50;

/** Calls `changed` with the addresses at once and after each change, until the signal aborts. */
export function watchAddresses(
  changed: (addresses: readonly Address[]) => void,
  problem: (message: string | null) => void,
  signal: AbortSignal,
): void {
  let last = "";
  let timer: NodeJS.Timeout | null = null;
  const look = (): void => {
    timer = null;
    const addresses = listAddresses(networkInterfaces());
    const text = JSON.stringify(addresses);
    if (text !== last && !signal.aborted) {
      last = text;
      changed(addresses);
    }
  };
  const lookSoon = (): void => {
    timer ??= setTimeout(look, settleMs);
  };
  signal.addEventListener("abort", () => timer !== null && clearTimeout(timer), { once: true });
  runCompanion(
    "ip",
    ["-o", "monitor", "link", "address"],
    {
      started: () => {
        problem(null);
        lookSoon();
      },
      output: lookSoon,
      died: problem,
    },
    signal,
  );
  look();
}
