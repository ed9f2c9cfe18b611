/** `defineAppliance`: what an appliance is made of, as one typed value. */

import { checkDefinition } from "./definition-check.ts";

/** A file of the image, from text, bytes, or a file beside the definition. */
export interface FileDefinition {
  /** Contents as they are, or a file of the host, named relative to the definition's folder. */
  readonly content: string | Uint8Array | { readonly file: string } | { readonly symlink: string };
  /** Permission bits; 0o644 unless told. */
  readonly mode?: number;
  /** Owner and group by name; `root` unless told. */
  readonly owner?: string;
  readonly group?: string;
}

/** The kernel, and which of its modules go into the image. */
export interface KernelDefinition {
  /** The package to follow: `linux-image-amd64`. */
  readonly package: string;
  /** Groups that the builder knows, see `moduleClasses`. */
  readonly classes: readonly ModuleClass[];
  /** Further modules by name (`nvmet-tcp`) or by path glob (`kernel/drivers/net/ethernet/**`). */
  readonly modules?: readonly string[];
  /** Modules that stay out although a class or glob names them; same forms. */
  readonly excludeModules?: readonly string[];
  /**
   * Modules that nearly every machine loads, by name: with all that they depend on they lie in the
   * image unpacked, so that the kernel does not have to do it while it boots.
   */
  readonly unpackedModules?: readonly string[];
  /** Packages that firmware files are taken from; only files that a chosen module asks for. */
  readonly firmwarePackages?: readonly string[];
  /** Firmware globs that stay out although a module asks for them, each a size decision. */
  readonly excludeFirmware?: readonly string[];
  /** Packages that CPU microcode is taken from. */
  readonly microcodePackages?: readonly string[];
}

/** A named group of kernel modules. */
export type ModuleClass =
  | "network-wired"
  | "network-usb"
  | "network-virtual"
  | "thunderbolt-net"
  | "storage"
  | "storage-usb"
  | "nvme-target"
  | "nvme-host"
  | "device-mapper"
  | "filesystems-basic"
  | "hid"
  | "tls"
  | "efi"
  | "console";

/** An appliance: an operating system in one EFI file. */
export interface ApplianceDefinition {
  /** Lower-case name; names the outputs. */
  readonly name: string;
  /** For `/etc/os-release` and the screen. */
  readonly title: string;
  readonly version: string;
  /** Debian release by code name. */
  readonly release: string;
  readonly architecture: "amd64";
  /** Archive components: `main`, `non-free-firmware`. */
  readonly components: readonly string[];
  readonly packages: readonly string[];
  /**
   * Packages that are taken from the release's backports, by name: a newer kernel by
   * `linux-image-amd64`. What only backports have comes from there too, where one of them needs it.
   */
  readonly backports?: readonly string[];
  /**
   * Dependencies that are left out although a package asks for them, by name, with the reason.
   * One that no package asks for is an error, so that the list stays true.
   */
  readonly excludeDependencies: Readonly<Record<string, string>>;
  /**
   * Folders of local .deb files that win over the archive, relative to the definition; of several of
   * one name the latest version counts.
   */
  readonly packageDirectories?: readonly string[];
  readonly kernel: KernelDefinition;
  /** Put the official Node.js binary at `usr/bin/node`. */
  readonly node?: boolean;
  /** TypeScript programs that are bundled into one file each: path in the image → entry module. */
  readonly programs?: Readonly<Record<string, { readonly entry: string }>>;
  /**
   * A folder, relative to the definition, whose files and symbolic links lie in it as they do in the
   * image; a `README.md` at its top stays out. An executable file has mode 0o755, any other 0o644.
   */
  readonly filesFrom?: string;
  /** Path in the image (no leading slash) → file; wins over `filesFrom`. */
  readonly files?: Readonly<Record<string, FileDefinition>>;
  /** Paths that stay out, as globs over canonical paths, beside the built-in filters. */
  readonly excludeFiles?: readonly string[];
  /**
   * Files, as globs over canonical paths, that keep the set-uid and set-gid bits that their package
   * gives them or its script would set. Every other file loses them; a glob that no such file fits
   * is an error.
   */
  readonly keepSetuid?: readonly string[];
  /** Systemd units to enable; everything else stays disabled. */
  readonly enable: readonly string[];
  /** Units that must never start. */
  readonly mask?: readonly string[];
  /** What `default.target` points to. */
  readonly defaultTarget: string;
  /** Whether root may log in on a console without a password. */
  readonly rootShell?: "none" | "debug";
  /** Public keys that may log in as root by SSH, one line each. */
  readonly authorizedKeys?: readonly string[];
  /**
   * The SSH server's private key, as OpenSSH writes it; one is made at every boot unless told.
   * Whoever has the image has this key.
   */
  readonly sshHostKey?: string;
  /** Kernel command line, one parameter each. */
  readonly kernelCommandLine: readonly string[];
}

/**
 * Declares an appliance.
 * @throws ImageError `definition` that names the first field that makes no sense.
 */
export function defineAppliance<const D extends ApplianceDefinition>(definition: D): D {
  checkDefinition(definition, `of ${definition.name}`);
  return definition;
}
