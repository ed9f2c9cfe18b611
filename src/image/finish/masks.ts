/** Units that packages start by themselves and that have no place in an appliance. */

const touchesDisks = "It writes to disks or changes what lies on them; an appliance never does.";
const assembles = "It assembles or activates volumes that lie on the machine's disks.";
const noPersistence = "The root file system is memory; there is nothing to keep or to load.";
const nothingToUpdate = "The build has done this; at boot it would only cost time.";
const firmwareState =
  "It changes state of the machine's firmware that belongs to its owner's system.";
const tpmState =
  "It writes to the machine's TPM or extends its registers; nothing here seals keys.";
const noPackages = "There is no package database in the image.";

/**
 * Unit → why it is masked in every image that has it. A definition that names one in `enable` gets
 * it after all.
 */
export const defaultMasks: Readonly<Record<string, string>> = {
  // Work of a first boot or of the first boot after an update.
  "ldconfig.service": `${nothingToUpdate} Libraries in the standard folders need no cache.`,
  "systemd-hwdb-update.service": `${nothingToUpdate} The image has no hardware database.`,
  "systemd-journal-catalog-update.service": nothingToUpdate,
  "systemd-sysusers.service": nothingToUpdate,
  "systemd-update-done.service": nothingToUpdate,
  "systemd-firstboot.service": "It would ask questions on the console.",
  "systemd-homed-firstboot.service": "It would ask questions on the console.",
  // State that a system keeps from boot to boot.
  "systemd-journal-flush.service": noPersistence,
  "systemd-random-seed.service": noPersistence,
  "systemd-machine-id-commit.service": noPersistence,
  "systemd-binfmt.service": "No foreign program formats are registered.",
  "proc-sys-fs-binfmt_misc.automount": "No foreign program formats are registered.",
  // Firmware variables and the TPM are the machine's, as its disks are.
  "systemd-hibernate-clear.service": `${firmwareState} It deletes the EFI variable that tells a hibernated system where to resume.`,
  "systemd-pstore.service": `${firmwareState} It takes crash records out of EFI variables.`,
  "systemd-boot-random-seed.service": touchesDisks,
  "systemd-boot-update.service": touchesDisks,
  "systemd-bless-boot.service": touchesDisks,
  "systemd-bootctl.socket": touchesDisks,
  "systemd-pcrextend.socket": tpmState,
  "systemd-pcrlock.socket": tpmState,
  "systemd-pcrmachine.service": tpmState,
  "systemd-pcrphase.service": tpmState,
  "systemd-pcrphase-sysinit.service": tpmState,
  "systemd-tpm2-setup-early.service": tpmState,
  "systemd-tpm2-setup.service": tpmState,
  // Disks.
  "systemd-repart.service": touchesDisks,
  "systemd-growfs-root.service": touchesDisks,
  "systemd-hibernate.service": touchesDisks,
  "systemd-hybrid-sleep.service": touchesDisks,
  "systemd-suspend-then-hibernate.service": touchesDisks,
  "fstrim.timer": touchesDisks,
  "fstrim.service": touchesDisks,
  "e2scrub_all.timer": touchesDisks,
  "e2scrub_reap.service": touchesDisks,
  "xfs_scrub_all.timer": touchesDisks,
  "btrfsd.timer": touchesDisks,
  "udisks2.service": assembles,
  "cryptsetup.target": assembles,
  "remote-cryptsetup.target": assembles,
  "integritysetup.target": assembles,
  "veritysetup.target": assembles,
  "lvm2-monitor.service": assembles,
  "blk-availability.service": assembles,
  "multipathd.service": assembles,
  "multipathd.socket": assembles,
  "mdmonitor.service": assembles,
  "mdmonitor-oneshot.timer": assembles,
  "mdcheck_start.timer": touchesDisks,
  "mdcheck_continue.timer": touchesDisks,
  "mdadm-last-resort@.timer": assembles,
  "mdadm-last-resort@.service": assembles,
  "mdadm-grow-continue@.service": touchesDisks,
  "var-lib-machines.mount": assembles,
  "open-iscsi.service": "It connects to disks of other machines.",
  "iscsid.socket": "It connects to disks of other machines.",
  "nvmf-autoconnect.service": "It connects to disks of other machines.",
  "nvmefc-boot-connections.service": "It connects to disks of other machines.",
  // Packages.
  "apt-daily.timer": noPackages,
  "apt-daily-upgrade.timer": noPackages,
  "dpkg-db-backup.timer": noPackages,
  "man-db.timer": noPackages,
  // Consoles and passwords.
  "getty-static.service": "A login prompt is enabled by name, or there is none.",
  "systemd-ask-password-console.path": "Nothing in an appliance waits for a password.",
  "systemd-ask-password-wall.path": "Nothing in an appliance waits for a password.",
  "sshd-keygen.service": "It waits for a first boot; diskomator-hostkeys.service makes the key.",
};
