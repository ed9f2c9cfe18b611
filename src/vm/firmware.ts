/** Where distributions keep OVMF, and how each of them installs it with QEMU. */

import type { Firmware } from "./options.ts";

const sharedFolder = "/usr/share";

function pair(folder: string, code: string, variables: string): Firmware {
  return {
    codePath: `${sharedFolder}/${folder}/${code}`,
    variablesPath: `${sharedFolder}/${folder}/${variables}`,
  };
}

/** OVMF without Secure Boot, best first: Debian and Ubuntu, Fedora, Arch, openSUSE, Homebrew. */
export const firmwareCandidates: readonly Firmware[] = [
  pair("OVMF", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
  pair("OVMF", "OVMF_CODE.fd", "OVMF_VARS.fd"),
  pair("edk2/ovmf", "OVMF_CODE.fd", "OVMF_VARS.fd"),
  pair("edk2/x64", "OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd"),
  pair("edk2-ovmf/x64", "OVMF_CODE.fd", "OVMF_VARS.fd"),
  pair("qemu", "ovmf-x86_64-4m-code.bin", "ovmf-x86_64-4m-vars.bin"),
  pair("qemu", "edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
  ...["/opt/homebrew/share/qemu", "/usr/local/share/qemu"].map((folder) => ({
    codePath: `${folder}/edk2-x86_64-code.fd`,
    variablesPath: `${folder}/edk2-i386-vars.fd`,
  })),
];

/** What to tell someone who lacks QEMU or OVMF. */
export const installHint =
  "Install it with: apt-get install --no-install-recommends qemu-system-x86 ovmf " +
  "(Fedora: dnf install qemu-system-x86 edk2-ovmf; Arch: pacman -S qemu-system-x86 edk2-ovmf; " +
  "openSUSE: zypper install qemu-x86 qemu-ovmf-x86_64; macOS: brew install qemu).";
