/** Block device events, from a `udevadm monitor` that runs along. */
import { runCompanion } from "./driver-process.ts";
import { createUeventDecoder, type Uevent } from "./uevents.ts";

/** What the monitor tells. */
export interface UdevEvents {
  event(event: Uevent): void;
  /** From here on no event is missed; what happened before must be looked up. */
  listening(): void;
  died(message: string): void;
}

/** Watches until the signal aborts. */
export function watchBlockDevices(events: UdevEvents, signal: AbortSignal): void {
  let decoder = createUeventDecoder();
  runCompanion(
    "udevadm",
    ["monitor", "--kernel", "--udev", "--property", "--subsystem-match=block"],
    {
      started: () => {
        decoder = createUeventDecoder();
      },
      output: (text) => {
        for (const item of decoder.push(text)) {
          if (item.kind === "listening") {
            events.listening();
          } else {
            events.event(item.event);
          }
        }
      },
      died: events.died,
    },
    signal,
  );
}
