/**
 * What grants mean for the two targets: subsystems of the kernel's for what may be written, of our
 * own for what may not. Each disk has one subsystem for each host that it is granted to, so that
 * taking a grant back ends that host's controllers and nobody else's.
 */
import { createHash } from "node:crypto";
import type { Config } from "./config.ts";
import type { Grant, Grants, HostSecrets } from "./grants.ts";
import type { WantedExport, WantedHost } from "./nvmet.ts";
import type { ExportMemory } from "./state.ts";

/** A disk that our own target serves. */
export interface SoftExport {
  readonly nqn: string;
  /** Kernel name of the disk, and which incarnation of it. */
  readonly disk: string;
  readonly diskSequence: number | null;
  readonly sizeBytes: number;
  readonly strings: WantedExport["strings"];
  readonly uuid: string;
  readonly nguid: string;
  readonly mode: "ro" | "overlay";
  readonly overlayBytes: number | null;
  /** Everybody, or each host with its secrets. */
  readonly hosts: "any" | ReadonlyMap<string, HostSecrets>;
}

/** A disk of the box that hosts may be let in to. */
export interface Offer {
  readonly base: WantedExport;
  readonly diskSequence: number | null;
  readonly sizeBytes: number;
  /** Nobody may write to it, whatever is granted. */
  readonly readOnly: boolean;
}

/** Everything that should be there. */
export interface WantedAccess {
  readonly exports: readonly WantedExport[];
  readonly hosts: readonly WantedHost[];
  readonly soft: readonly SoftExport[];
  /** For the kernel's keyring, by identity. */
  readonly tlsKeys: ReadonlyMap<string, Uint8Array>;
}

const hash = "hmac(sha256)";
const group = "ffdhe2048";
/** With it, an identity of TLS fits in the 256 bytes that Node takes (see `nvme`). */
const grantNqnLengthMax = 120;

/** The NQN under which a host is granted a disk: the same at every boot, another for each host. */
export function grantNqn(diskNqn: string, hostnqn: string): string {
  const digest = createHash("sha256").update(`${diskNqn}\0${hostnqn}`).digest("hex").slice(0, 12);
  return `${diskNqn.slice(0, grantNqnLengthMax - digest.length - 3)}:h-${digest}`;
}

/** From the disks and the grants to what both targets should have. */
export function wantedAccess(
  offers: readonly Offer[],
  grants: Grants,
  access: Config["access"],
  exports: ReadonlyMap<string, ExportMemory>,
): WantedAccess {
  const kernel: WantedExport[] = [];
  const soft: SoftExport[] = [];
  const tlsKeys = new Map<string, Uint8Array>();
  const hosts = new Map<string, WantedHost>();
  const isOpen = access === "open";
  for (const offer of offers) {
    if (offer.readOnly) {
      soft.push(softExport(offer, offer.base.nqn, "ro", null, isOpen ? "any" : new Map()));
    } else {
      kernel.push({ ...offer.base, hosts: isOpen ? "any" : [] });
    }
  }
  const seen = new Set<string>();
  for (const { grant, offer } of pairs(offers, grants.list)) {
    const { hostnqn, mode, overlayBytes } = grant;
    const nqn = grantNqn(offer.base.nqn, hostnqn);
    const secrets = grants.secretsOf(hostnqn);
    if (secrets === undefined || seen.has(nqn)) continue;
    seen.add(nqn);
    if (mode !== "rw") {
      soft.push(softExport(offer, nqn, mode, overlayBytes, new Map([[hostnqn, secrets]])));
    } else if (!offer.readOnly) {
      // A state file tells of the disk's own export only: both were opened on the same disk.
      const known = exports.get(nqn) ?? exports.get(offer.base.nqn);
      kernel.push(hostExport(offer, nqn, hostnqn, known));
      hosts.set(hostnqn, wantedHost(hostnqn, secrets));
      const tls = grant.keys.find((one) => one.nqn === offer.base.nqn);
      if (tls !== undefined) tlsKeys.set(tls.identity, Buffer.from(tls.key, "base64"));
    }
  }
  return { exports: kernel, hosts: [...hosts.values()], soft, tlsKeys };
}

function* pairs(
  offers: readonly Offer[],
  grants: readonly Grant[],
): Generator<{ readonly grant: Grant; readonly offer: Offer }> {
  const byNqn = new Map(offers.map((offer) => [offer.base.nqn, offer]));
  for (const grant of grants) {
    for (const nqn of grant.nqns) {
      const offer = byNqn.get(nqn);
      if (offer !== undefined) yield { grant, offer };
    }
  }
}

function hostExport(
  { base, diskSequence, sizeBytes }: Offer,
  nqn: string,
  hostnqn: string,
  known: ExportMemory | undefined,
): WantedExport {
  return {
    ...base,
    nqn,
    hosts: [hostnqn],
    reopen: known !== undefined && known.diskSequence !== diskSequence,
    resize: known !== undefined && known.sizeBytes !== sizeBytes,
  };
}

function wantedHost(nqn: string, secrets: HostSecrets): WantedHost {
  return {
    nqn,
    attributes: {
      dhchap_key: secrets.host,
      dhchap_ctrl_key: secrets.controller,
      dhchap_hash: hash,
      dhchap_dhgroup: group,
    },
  };
}

function softExport(
  { base, diskSequence, sizeBytes }: Offer,
  nqn: string,
  mode: "ro" | "overlay",
  overlayBytes: number | null,
  hosts: SoftExport["hosts"],
): SoftExport {
  const { disk, strings, namespace } = base;
  return {
    nqn,
    disk,
    diskSequence,
    sizeBytes,
    strings,
    mode,
    overlayBytes,
    hosts,
    uuid: namespace.device_uuid,
    nguid: namespace.device_nguid,
  };
}
