/** The methods by which an owner boots a disk of the box once. */
import { type Handlers, RpcError } from "../rpc/index.ts";
import { type BoxState, type BoxTools, findDisk, reasonOf, stateOf } from "./box-methods.ts";
import type { BootControl } from "./driver-boot-control.ts";
import type { Log } from "./log.ts";

/** What they are made from. */
export interface BootMethodsSetup {
  readonly box: BoxState;
  readonly tools: BoxTools;
  readonly log: Log;
  readonly boot: Pick<BootControl, "prepare" | "state" | "takeBack">;
}

/** Their handlers. */
export function bootMethods(setup: BootMethodsSetup): Pick<Handlers, "bootOnce" | "bootState"> {
  const { box, tools, log, boot } = setup;
  return {
    bootOnce: async ({ disk: wanted, run, noReturn, kexec, appendEntry, purpose }) => {
      const state = stateOf(box);
      const row = findDisk(state, wanted);
      const { disk } = row;
      if (row.state.kind === "not exported" && row.state.reason.code === "boot-medium") {
        const message = `Cannot boot ${disk.name} once: the box itself booted from it.`;
        throw new RpcError("refused", message, { reason: "boot-medium", disk: disk.name });
      }
      const others = state.disks
        .map((other) => other.disk)
        .filter(({ name, sizeBytes }) => name !== disk.name && sizeBytes > 0);
      const prepared = await boot.prepare({
        disk,
        run,
        noReturn,
        kexec,
        appendEntry,
        now: tools.now(),
        others: others.map(({ name }) => name),
        open: (name) => tools.openDisk(name),
      });
      const how = kexec ? "kexec" : "boot-once";
      log("going", { how, disk: disk.name, run, purpose, entry: prepared.entry });
      try {
        await tools.end(kexec ? "kexec" : "reboot");
      } catch (error) {
        const now = await boot.takeBack();
        const why = reasonOf(error);
        log("problem", { topic: "run", text: `The box does not go: ${why}` });
        const message = `Cannot boot ${disk.name} once: the box does not go: ${why} ${now}`;
        throw new RpcError("failed", message, { reason: "stays", disk: disk.name });
      }
      return prepared;
    },
    bootState: () => boot.state(),
  };
}
