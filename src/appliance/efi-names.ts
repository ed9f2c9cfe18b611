/** Names of EFI variables, and where Linux shows them. */

/** Below the root: a file for each, `NAME-VENDOR`. */
export const efiVariables = "sys/firmware/efi/efivars";
/** Vendor of the firmware's own variables (UEFI 2.11, 3.3). */
export const globalVendor = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/** Vendor of the boot loader interface's variables. */
export const loaderVendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/** Vendor of ours. */
export const noteVendor = "5e1b7f0c-93d4-4c6a-8a27-6b1d40c2f9e8";
/** What the box notes while one of its disks boots. */
export const noteName = "DiskomatorRun";
