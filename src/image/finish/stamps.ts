/** What tells systemd at boot that this is neither a first boot nor an update. */

import { file, type Piece, symlink } from "./piece.ts";

/**
 * `/etc/.updated` and `/var/.updated` as systemd-update-done 257 writes them, so that
 * ConditionNeedsUpdate= is false: /usr is never newer than `epochSeconds`.
 */
export function stampFiles(epochSeconds: number): Piece[] {
  const text = [
    "# This file was created by systemd-update-done. Its only ",
    "# purpose is to hold a timestamp of the time this directory",
    "# was updated. See man:systemd-update-done.service(8).",
    `TIMESTAMP_NSEC=${epochSeconds}000000000`,
    "",
  ].join("\n");
  return [file("etc/.updated", text), file("var/.updated", text)];
}

/**
 * An empty machine-id: systemd fills it in at boot, from the firmware when the command line says
 * so, and does not take this for a first boot as it would without the file (machine-id(5)).
 */
export function machineIdFiles(): Piece[] {
  return [
    file("etc/machine-id", "", { mode: 0o444 }),
    symlink("var/lib/dbus/machine-id", "/etc/machine-id"),
  ];
}
