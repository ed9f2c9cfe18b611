/**
 * The kernel target's configfs (`/sys/kernel/config/nvmet`) as values: what should be there, what
 * is there, and the steps between. Kernel rules: drivers/nvme/target/configfs.c of 6.12.
 */

/** Attributes of a port, as they are written and read back. */
interface PortAttributes {
  readonly addr_trtype: string;
  readonly addr_adrfam: string;
  readonly addr_traddr: string;
  readonly addr_trsvcid: string;
  /** `tls1.3`; absent where there is no TLS. The kernel takes it before `addr_treq`. */
  readonly addr_tsas?: string;
  /** `not required`: hosts come with TLS or without. */
  readonly addr_treq?: string;
}

/** A port that should listen. */
export interface WantedPort {
  readonly id: number;
  readonly attributes: PortAttributes;
}

/** Strings of a subsystem; the kernel refuses to change them once a host has asked for them. */
interface SubsystemStrings {
  readonly attr_serial: string;
  readonly attr_model: string;
  readonly attr_firmware: string;
}

/** What identifies namespace 1 and leads to its disk. */
interface NamespaceAttributes {
  readonly device_path: string;
  readonly device_uuid: string;
  readonly device_nguid: string;
}

/** A host that may connect where it is named, with its DH-HMAC-CHAP secrets. */
export interface WantedHost {
  readonly nqn: string;
  readonly attributes: HostAttributes;
}

/** Attributes of a host; they are secret, and nothing prints them. */
interface HostAttributes {
  /** `DHHC-1:…`: the host's, and the controller's. */
  readonly dhchap_key: string;
  readonly dhchap_ctrl_key: string;
  /** `hmac(sha256)`. */
  readonly dhchap_hash: string;
  /** `ffdhe2048`: without one given, the kernel's negotiation takes the wrong one. */
  readonly dhchap_dhgroup: string;
}

/** A disk that should be exported. */
export interface WantedExport {
  readonly nqn: string;
  /** Kernel name of the disk. */
  readonly disk: string;
  /** Everybody, or the hosts of these names: nobody where there is none. */
  readonly hosts: "any" | readonly string[];
  readonly strings: SubsystemStrings;
  readonly namespace: NamespaceAttributes;
  /** The device path means another disk than when the namespace was enabled: open it anew. */
  readonly reopen: boolean;
  /** The disk has another size than the namespace shows. */
  readonly resize: boolean;
}

/** Everything that should be there. */
export interface Wanted {
  readonly ports: readonly WantedPort[];
  readonly exports: readonly WantedExport[];
  readonly hosts: readonly WantedHost[];
  /** Subsystems whose NQN begins so are ours; others are never touched. */
  readonly nqnPrefix: string;
}

/** A port as it was found. */
export interface FoundPort {
  readonly id: number;
  readonly attributes: PortAttributes;
  /** NQNs of the subsystems that it serves. */
  readonly links: readonly string[];
}

/** A namespace as it was found. */
export interface FoundNamespace {
  readonly nsid: number;
  readonly attributes: NamespaceAttributes;
  readonly enabled: boolean;
}

/** A subsystem as it was found. */
export interface FoundSubsystem {
  readonly nqn: string;
  readonly allowAnyHost: boolean;
  readonly allowedHosts: readonly string[];
  readonly strings: SubsystemStrings;
  readonly namespaces: readonly FoundNamespace[];
}

/** A host as it was found. */
export interface FoundHost {
  readonly nqn: string;
  readonly attributes: HostAttributes;
}

/** Everything that is there. */
export interface Found {
  readonly ports: readonly FoundPort[];
  readonly hosts: readonly FoundHost[];
  readonly subsystems: readonly FoundSubsystem[];
}

/** One call; paths are relative to the nvmet directory. */
export type Step =
  | { readonly do: "mkdir"; readonly path: string }
  | { readonly do: "rmdir"; readonly path: string }
  /** `before` is what the attribute held, if going back to it makes sense. */
  | {
      readonly do: "write";
      readonly path: string;
      readonly value: string;
      readonly before: string | null;
    }
  /** A symlink at `path` to the directory `target`. */
  | { readonly do: "link"; readonly path: string; readonly target: string }
  | { readonly do: "unlink"; readonly path: string };

/** Steps that stand or fall together: those of one subsystem, host, port, or link. */
export interface StepGroup {
  /** The NQN, or `port N`. */
  readonly subject: string;
  readonly intent: "port" | "host" | "export" | "link" | "remove";
  readonly steps: readonly Step[];
}

/** What to do, in order, and what was left alone. */
export interface Plan {
  readonly groups: readonly StepGroup[];
  /** One sentence each, for the screen. */
  readonly remarks: readonly string[];
}

/** The step that takes `step` back, or null when going back would bring nothing. */
export function undoOf(step: Step): Step | null {
  switch (step.do) {
    case "mkdir":
      return { do: "rmdir", path: step.path };
    case "rmdir":
    case "unlink":
      return null;
    case "write":
      return step.before === null
        ? null
        : { do: "write", path: step.path, value: step.before, before: null };
    case "link":
      return { do: "unlink", path: step.path };
  }
}

/**
 * The ports of a box, on all addresses, with fixed ids: for each address family the one for data
 * and the one for discovery. The kernel's discovery log names the port that it is asked on, so each
 * serves every subsystem.
 */
export function boxPorts(options: {
  readonly ipv6: boolean;
  readonly tls: boolean;
}): readonly WantedPort[] {
  const port = (id: number, family: string, address: string, service: number): WantedPort => ({
    id,
    attributes: {
      addr_trtype: "tcp",
      addr_adrfam: family,
      addr_traddr: address,
      addr_trsvcid: String(service),
      ...(options.tls ? { addr_tsas: "tls1.3", addr_treq: "not required" } : {}),
    },
  });
  return [
    port(1, "ipv4", "0.0.0.0", servicePort),
    ...(options.ipv6 ? [port(2, "ipv6", "::", servicePort)] : []),
    port(3, "ipv4", "0.0.0.0", discoveryPort),
    ...(options.ipv6 ? [port(4, "ipv6", "::", discoveryPort)] : []),
  ];
}

/** The TCP port that IANA gives to NVMe over Fabrics. */
export const servicePort = 4420;
/** The one that it gives to discovery. */
export const discoveryPort = 8009;
/** Where disks are served that the kernel's target cannot serve: read-only ones and overlays. */
export const readOnlyPort = 4421;
