/** Why the daemon is asked to end, read from systemd's list of jobs. */

/**
 * - `stop`: the unit is to be stopped, or the machine is going down: exports come down
 * - `restart`: a new daemon follows and adopts the exports
 * - `none`: nobody asked systemd, it was a plain signal; the unit's `Restart=` follows
 */
export type StopReason = "stop" | "restart" | "none";

/** Reads `systemctl list-jobs --no-legend`: lines of job number, unit, type and state. */
export function parseStopReason(listing: string, unit: string): StopReason {
  for (const line of listing.split("\n")) {
    const [, name, type] = line.trim().split(/\s+/);
    if (name === unit) {
      return type === "stop" ? "stop" : "restart";
    }
  }
  return "none";
}
