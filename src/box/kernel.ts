/**
 * What the Linux kernel's own NVMe/TCP host has to be told to use a granted disk: steps for root,
 * over the kernel's interfaces themselves. nvme-cli takes no part: versions before 2.16 derive TLS
 * keys in a way of their own, and its secrets stand on command lines that everybody can read.
 * Linux 6.12: drivers/nvme/host/fabrics.c (options), sysfs.c, common/keyring.c.
 */

import { ConfiguredPsk, uuidOfNqn } from "../nvme/index.ts";
import type { GrantedAccess } from "../rpc/index.ts";
import { BoxError } from "./error.ts";
import { type Place, portAt } from "./place.ts";

/** One program to run as root. */
export interface KernelStep {
  readonly program: string;
  readonly args: readonly string[];
  /** For its standard input; secret. */
  readonly input?: Uint8Array;
  /** What it is for, in words for messages: `load the kernel's modules`. */
  readonly purpose: string;
}

/** A controller of the kernel's host, as sysfs has it. */
export interface KernelController {
  /** `nvme3`. */
  readonly name: string;
  readonly subsystemNqn: string;
  readonly hostnqn: string;
  /** `live`, `connecting`, ... */
  readonly state: string;
  /** Where it connects to, for ever; empty and 0 where the kernel does not say. */
  readonly address: string;
  readonly port: number;
  /** Block devices of its subsystem: `nvme3n1`. */
  readonly devices: readonly string[];
}

/** What to connect, and how. */
export interface KernelConnection {
  readonly access: GrantedAccess;
  readonly disk: GrantedAccess["disks"][number];
  readonly place: Place;
  /** At which the box was reached; an IP address, since the kernel looks up no names. */
  readonly address: string;
  readonly isEncrypted: boolean;
  /** The controller that there is for it already, left from before the box was booted again. */
  readonly found: KernelController | undefined;
}

/** Waits between attempts to come back; it never gives up, until it is disconnected. */
const reconnectDelaySeconds = 5;
const keepAliveSeconds = 5;

const keyring = "%:.nvme";

/**
 * Steps to connect a disk; or, where a controller waits for the box, to give it the new keys.
 * @throws BoxError `unsupported` where encryption is wanted and the box has none.
 */
export function planConnect(connection: KernelConnection): readonly KernelStep[] {
  const { found, isEncrypted } = connection;
  const modules = isEncrypted ? ["nvme-tcp", "nvme-keyring", "tls"] : ["nvme-tcp"];
  return [
    { program: "modprobe", args: ["-a", ...modules], purpose: "load the kernel's modules" },
    // What a controller that tries to come back proves itself with is there before it can encrypt: one
    // that is refused is removed for good, with whatever is mounted from it.
    ...(found === undefined ? [] : renewalSteps(connection, found)),
    ...(isEncrypted ? keySteps(connection) : []),
    ...(found === undefined ? [fabricsStep(connection)] : []),
  ];
}

/**
 * Whether a controller waits in vain: its box has other addresses now, or serves the disk on another
 * port, which depends on the kind of grant. The kernel cannot send it elsewhere.
 */
export function waitsElsewhere(
  found: KernelController,
  { access, disk, place, address }: Omit<KernelConnection, "found" | "isEncrypted">,
): boolean {
  const bare = (text: string) => text.replace(/%.*$/, "");
  const own = access.addresses.map((one) => one.address);
  const addresses = [address, ...place.addresses, ...own].map(bare);
  const isThere = found.address === "" || addresses.includes(bare(found.address));
  return !isThere || (found.port !== 0 && found.port !== portAt(place, disk.port));
}

/** Steps to take a controller away. */
export function planDisconnect(controller: KernelController): readonly KernelStep[] {
  const { name } = controller;
  const path = `/sys/class/nvme/${name}/delete_controller`;
  return [
    {
      program: "sh",
      args: ["-c", 'echo 1 >"$1"', "sh", path],
      purpose: `take ${name} away`,
    },
    ...planForget(controller),
  ];
}

/** Steps to forget the keys of a host for a subsystem. */
export function planForget({
  hostnqn,
  subsystemNqn,
}: Pick<KernelController, "hostnqn" | "subsystemNqn">): readonly KernelStep[] {
  const script = `command -v keyctl >/dev/null || exit 0; ${forget}`;
  return [
    {
      program: "sh",
      args: ["-c", script, "sh", hostnqn, subsystemNqn],
      purpose: "forget its key",
    },
  ];
}

/**
 * Removes the keys of a host for a subsystem, but for the one with the identity `$3`: the kernel takes
 * any that has both names.
 */
const forget =
  `keyctl list ${keyring} | grep -F " $1 $2 " | ` +
  `while read -r id rest; do case "$rest" in *" $3") [ -n "$3" ] && continue;; esac; ` +
  `keyctl unlink "\${id%:}" ${keyring}; done`;

function keySteps({ access, disk, place }: KernelConnection): KernelStep[] {
  const parsed = access.tlsPsk === null ? null : ConfiguredPsk.parse(access.tlsPsk);
  if (!parsed?.ok) {
    throw new BoxError(
      "unsupported",
      `The box ${place.name} cannot encrypt what goes to and from ${disk.name}. ` +
        "Use --no-tls on a network that you trust.",
      { box: place.name, disk: disk.name },
    );
  }
  const { hostnqn } = access;
  const { identity, key } = parsed.psk.retain(hostnqn).tlsPsk({ hostnqn, subnqn: disk.nqn });
  return [
    {
      program: "keyctl",
      args: ["padd", "psk", identity, keyring],
      input: key,
      purpose: "put the key into the kernel's keyring",
    },
    {
      // Only now: without any key (ENOKEY), that controller is removed for good, too.
      program: "sh",
      args: ["-c", forget, "sh", hostnqn, disk.nqn, identity],
      purpose: "forget keys of an earlier boot of the box",
    },
  ];
}

function fabricsStep({ access, disk, place, address, isEncrypted }: KernelConnection): KernelStep {
  const options: Readonly<Record<string, string | number | null>> = {
    transport: "tcp",
    traddr: address,
    trsvcid: portAt(place, disk.port),
    nqn: disk.nqn,
    hostnqn: access.hostnqn,
    hostid: uuidOfNqn(access.hostnqn) ?? "",
    ctrl_loss_tmo: -1,
    reconnect_delay: reconnectDelaySeconds,
    keep_alive_tmo: keepAliveSeconds,
    dhchap_secret: access.secrets.host,
    dhchap_ctrl_secret: access.secrets.controller,
    ...(isEncrypted ? { tls: null } : {}),
  };
  const text = Object.entries(options)
    .map(([name, value]) => (value === null ? name : `${name}=${value}`))
    .join(",");
  return {
    program: "sh",
    args: ["-c", "cat >/dev/nvme-fabrics"],
    input: Buffer.from(text),
    purpose: `connect ${disk.name} of ${place.name}`,
  };
}

/** The controller tries to come back by itself; all that it lacks are the keys. */
function renewalSteps({ access }: KernelConnection, { name }: KernelController): KernelStep[] {
  const { host, controller } = access.secrets;
  const write = (attribute: string, secret: string): KernelStep => ({
    program: "sh",
    args: ["-c", 'cat >"$1"', "sh", `/sys/class/nvme/${name}/${attribute}`],
    input: Buffer.from(secret),
    purpose: `give ${name} its new keys`,
  });
  return [write("dhchap_secret", host), write("dhchap_ctrl_secret", controller)];
}

/** Where the kernel's host shows a disk, whatever its controller is called this time. */
export function devicePath({ uuid }: Pick<GrantedAccess["disks"][number], "uuid">): string {
  return `/dev/disk/by-id/nvme-uuid.${uuid}`;
}

/** Granted NQNs are that of the disk, cut where it is long, and what tells hosts apart. */
const grantedForm = /:h-[0-9a-f]{12}$/;
const cutLength = 105;

/** Whether a controller is one for a disk. */
export function isFor({ subsystemNqn }: KernelController, diskNqn: string): boolean {
  const base = subsystemNqn.replace(grantedForm, "");
  return base === diskNqn || (base.length >= cutLength && diskNqn.startsWith(base));
}
