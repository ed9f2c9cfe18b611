/** What every appliance of ours says the same way. */

/**
 * Dependencies that only maintainer scripts use, or that nothing on an appliance calls; typed
 * finishing replaces the scripts.
 */
export const scriptOnly = {
  adduser: "accounts come from sysusers.d",
  debconf: "no maintainer script runs",
  "init-system-helpers": "units are enabled by the definition",
} as const;

/**
 * Kernel parameters of a system that lives in memory and keeps its hands off every disk.
 * `initramfs_options`: let the root take most of the memory, not the default half. (With
 * `huge=within_size` it is unpacked a quarter faster, but then the daemon's resident memory is
 * 100 MiB, as files are mapped by the huge page.)
 * `lsm`: no policy of AppArmor or BPF is ever loaded, and preparing for one takes a second under
 * emulation; `cryptomgr.notests`: so does testing ciphers that nothing here uses.
 * `initcall_blacklist`: a test of key derivation, and keys of type `encrypted`, which nothing here
 * has; both run modprobe for what is built in, once the root is unpacked, and take another second.
 */
export const memoryRoot = [
  "initramfs_options=size=90%",
  "systemd.machine_id=firmware",
  "systemd.firstboot=no",
  "systemd.condition_needs_update=no",
  "systemd.gpt_auto=no",
  "systemd.swap=no",
  "fstab=no",
  "noresume",
  "raid=noautodetect",
  "fsck.mode=skip",
  "lsm=lockdown,yama",
  "cryptomgr.notests",
  "initcall_blacklist=crypto_kdf108_init,init_encrypted",
] as const;

/** Both kinds of screen; the last one is where `/dev/console` goes. */
export const consoles = ["console=ttyS0,115200n8", "console=tty0"] as const;
