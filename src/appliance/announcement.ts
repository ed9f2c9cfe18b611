/**
 * How the box makes itself known on the local network: services of DNS-SD, as files for
 * systemd-resolved's responder (systemd.dnssd(5)).
 */
import { createHash } from "node:crypto";
import type { BoxName } from "./identity.ts";
import { discoveryPort } from "./nvmet.ts";

/** What is told to everybody on the network. */
export interface Announcement {
  readonly name: BoxName;
  readonly box: string;
  readonly version: string;
  readonly access: string;
  readonly disks: number;
  /** `SHA256:…`; null where it is not known yet. */
  readonly hostKey: string | null;
}

const sshPort = 22;
/** The well-known name of every discovery service (NVMe Base 2.1, 4.7). */
const discoveryNqn = "nqn.2014-08.org.nvmexpress.discovery";

/**
 * File name → text; diskomator-goodbye.service knows the names. `_nvme-disc._tcp` is what NVMe hosts
 * look for (TP8009: `p` is required), and `_diskomator._tcp` leads to the control channel. Instances
 * have three words, so that two boxes of one network seldom have to change theirs.
 */
export function dnssdFiles(what: Announcement): ReadonlyMap<string, string> {
  const own = [
    `name=${what.name.short}`,
    `full=${what.name.full}`,
    `box=${what.box}`,
    `version=${what.version}`,
    `access=${what.access}`,
    `disks=${what.disks}`,
    ...(what.hostKey === null ? [] : [`hostkey=${what.hostKey}`]),
  ];
  const nvme = ["p=tcp", `nqn=${discoveryNqn}`];
  return new Map([
    ["diskomator.dnssd", service(what.name.full, "_diskomator._tcp", sshPort, own)],
    ["nvme.dnssd", service(what.name.full, "_nvme-disc._tcp", discoveryPort, nvme)],
  ]);
}

/** One line of TxtText, since each makes a record of its own. */
function service(name: string, type: string, port: number, text: readonly string[]): string {
  return `[Service]
Name=${name}
Type=${type}
Port=${port}
TxtText=${text.map((entry) => entry.replaceAll("%", "%%")).join(" ")}
`;
}

/** OpenSSH's fingerprint of a public key's line; null when it is none. */
export function fingerprintOf(publicKey: string | null): string | null {
  const [type, key] = (publicKey ?? "").trim().split(/\s+/);
  if (type === undefined || key === undefined || !/^(?:ssh|ecdsa|sk)-/.test(type)) return null;
  const digest = createHash("sha256").update(Buffer.from(key, "base64")).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}
