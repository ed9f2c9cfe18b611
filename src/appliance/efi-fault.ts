/** Why a variable of the firmware cannot be written, from what the kernel says. */
import { ApplianceError } from "./error.ts";

/** `reason` among the facts of an ApplianceError `efi`. */
export type EfiFault =
  /** No EFI variables: booted by a BIOS, or with `efi=noruntime`. */
  | "no-efi"
  /** The firmware has it, and does not give it. */
  | "unreadable"
  /** They can be read only, and that cannot be changed. */
  | "read-only"
  /** The firmware has no room. */
  | "full"
  /** The firmware did not take it, or gives back something else. */
  | "refused";

/**
 * The error behind a system call's code.
 * @param dumps how many variables are records of crashes
 */
export function efiFault(
  code: string,
  name: string,
  dumps: number,
  cause?: unknown,
): ApplianceError {
  if (code === "EROFS") {
    const message = `Cannot write the EFI variable ${name}: the system lets nobody write them.`;
    return efiError("read-only", message, name, cause);
  }
  if (code !== "ENOSPC") {
    return efiError("refused", `The firmware refuses the variable ${name} (${code}).`, name, cause);
  }
  const message =
    `Cannot write the EFI variable ${name}: the firmware's memory for variables is full. ` +
    (dumps > 0
      ? `${dumps} of them are records of crashes (below /sys/fs/pstore), which may be deleted.`
      : "Remove boot entries that nobody needs, or reset the firmware's settings.");
  return efiError("full", message, name, cause);
}

/** An ApplianceError `efi`. */
export function efiError(
  reason: EfiFault,
  message: string,
  name: string,
  cause?: unknown,
): ApplianceError {
  return new ApplianceError("efi", message, { reason, name }, { cause });
}
