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

/** A disk that should be exported. */
export interface WantedExport {
  readonly nqn: string;
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

/** Everything that is there. */
export interface Found {
  readonly ports: readonly FoundPort[];
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

/** Steps that stand or fall together: those of one subsystem, of one port, or of one link. */
export interface StepGroup {
  /** The NQN, or `port N`. */
  readonly subject: string;
  readonly intent: "port" | "export" | "link" | "remove";
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

/** The two ports of a box: one per address family, on all addresses, with fixed ids. */
export function boxPorts(families: { readonly ipv6: boolean }): readonly WantedPort[] {
  const port = (id: number, family: string, address: string): WantedPort => ({
    id,
    attributes: {
      addr_trtype: "tcp",
      addr_adrfam: family,
      addr_traddr: address,
      addr_trsvcid: String(servicePort),
    },
  });
  const ports = [port(1, "ipv4", "0.0.0.0")];
  return families.ipv6 ? [...ports, port(2, "ipv6", "::")] : ports;
}

/** The TCP port that IANA gives to NVMe over Fabrics. */
export const servicePort = 4420;
