/**
 * nvmet's configfs as a model for tests: it holds the same tree and refuses what the kernel
 * refuses (drivers/nvme/target/configfs.c and fs/configfs of 6.12).
 */
import type { ConfigfsCalls } from "../apply.ts";
import type { Found } from "../nvmet.ts";

interface ModelNamespace {
  attributes: Map<string, string>;
  enabled: boolean;
}

interface ModelSubsystem {
  attributes: Map<string, string>;
  hosts: Set<string>;
  namespaces: Map<number, ModelNamespace>;
  /** A host has asked for its strings, which are fixed from then on. */
  discovered: boolean;
}

interface ModelPort {
  attributes: Map<string, string>;
  links: Set<string>;
}

const stringLengthMax: ReadonlyMap<string, number> = new Map([
  ["attr_serial", 20],
  ["attr_model", 40],
  ["attr_firmware", 8],
]);
const hostAttributes = ["dhchap_key", "dhchap_ctrl_key", "dhchap_hash", "dhchap_dhgroup"];
const portAttributes = ["addr_trtype", "addr_adrfam", "addr_traddr", "addr_trsvcid"];

/** The model; its fields may be set to make any starting point. */
export class ConfigfsModel implements ConfigfsCalls {
  readonly subsystems = new Map<string, ModelSubsystem>();
  readonly ports = new Map<number, ModelPort>();
  readonly hosts = new Map<string, Map<string, string>>();
  /** Device paths that open; null lets all open. */
  openable: ReadonlySet<string> | null = null;
  /** Ports that cannot listen. */
  readonly deaf = new Set<number>();
  /** The daemon is killed before this many more calls; null for never. */
  callsUntilCrash: number | null = null;
  calls = 0;

  read(): Found {
    return {
      ports: [...this.ports].map(([id, { attributes, links }]) => ({
        id,
        attributes: {
          addr_trtype: attributes.get("addr_trtype") ?? "",
          addr_adrfam: attributes.get("addr_adrfam") ?? "",
          addr_traddr: attributes.get("addr_traddr") ?? "",
          addr_trsvcid: attributes.get("addr_trsvcid") ?? "",
          addr_tsas: attributes.get("addr_tsas") ?? "none",
          addr_treq: attributes.get("addr_treq") ?? "not specified",
        },
        links: [...links],
      })),
      hosts: [...this.hosts].map(([nqn, attributes]) => ({
        nqn,
        attributes: {
          dhchap_key: attributes.get("dhchap_key") ?? "",
          dhchap_ctrl_key: attributes.get("dhchap_ctrl_key") ?? "",
          dhchap_hash: attributes.get("dhchap_hash") ?? "hmac(sha256)",
          dhchap_dhgroup: attributes.get("dhchap_dhgroup") ?? "null",
        },
      })),
      subsystems: [...this.subsystems].map(([nqn, { attributes, hosts, namespaces }]) => ({
        nqn,
        allowAnyHost: attributes.get("attr_allow_any_host") === "1",
        allowedHosts: [...hosts],
        strings: {
          attr_serial: attributes.get("attr_serial") ?? "random",
          attr_model: attributes.get("attr_model") ?? "Linux",
          attr_firmware: attributes.get("attr_firmware") ?? "6.12",
        },
        namespaces: [...namespaces].map(([nsid, namespace]) => ({
          nsid,
          attributes: {
            device_path: namespace.attributes.get("device_path") ?? "(null)",
            device_uuid: namespace.attributes.get("device_uuid") ?? "random",
            device_nguid: namespace.attributes.get("device_nguid") ?? "zero",
          },
          enabled: namespace.enabled,
        })),
      })),
    };
  }

  async mkdir(path: string): Promise<void> {
    this.#count();
    const [kind, name, inner, nsid] = path.split("/");
    if (kind === "ports" && inner === undefined) {
      refuse(this.ports.has(Number(name)), "EEXIST");
      this.ports.set(Number(name), { attributes: new Map(), links: new Set() });
    } else if (kind === "hosts") {
      refuse(this.hosts.has(name!), "EEXIST");
      this.hosts.set(name!, new Map());
    } else if (kind === "subsystems" && inner === undefined) {
      refuse(this.subsystems.has(name!), "EEXIST");
      this.subsystems.set(name!, {
        attributes: new Map(),
        hosts: new Set(),
        namespaces: new Map(),
        discovered: false,
      });
    } else {
      const { namespaces } = this.#subsystem(name);
      refuse(namespaces.has(Number(nsid)), "EEXIST");
      namespaces.set(Number(nsid), { attributes: new Map(), enabled: false });
    }
  }

  async rmdir(path: string): Promise<void> {
    this.#count();
    const [kind, name, inner, nsid] = path.split("/");
    if (kind === "ports") {
      refuse(this.#port(name).links.size > 0, "ENOTEMPTY");
      this.ports.delete(Number(name));
    } else if (kind === "hosts") {
      const isLinked = [...this.subsystems.values()].some(({ hosts }) => hosts.has(name!));
      refuse(isLinked, "EBUSY");
      refuse(!this.hosts.delete(name!), "ENOENT");
    } else if (inner === undefined) {
      const subsystem = this.#subsystem(name);
      refuse(subsystem.namespaces.size + subsystem.hosts.size > 0, "ENOTEMPTY");
      refuse(
        [...this.ports.values()].some(({ links }) => links.has(name!)),
        "EBUSY",
      );
      this.subsystems.delete(name!);
    } else {
      refuse(!this.#subsystem(name).namespaces.delete(Number(nsid)), "ENOENT");
    }
  }

  async write(path: string, value: string): Promise<void> {
    this.#count();
    const [kind, name, attribute, nsid, inner] = path.split("/");
    if (kind === "ports") {
      const port = this.#port(name);
      refuse(port.links.size > 0, "EACCES");
      const isSecure = port.attributes.get("addr_tsas") === "tls1.3";
      refuse(attribute === "addr_treq" && !isSecure && value !== "not specified", "EINVAL");
      port.attributes.set(attribute!, value);
    } else if (kind === "hosts") {
      const host = this.hosts.get(name!);
      refuse(host === undefined, "ENOENT");
      refuse(!hostAttributes.includes(attribute!), "ENOENT");
      refuse(attribute!.endsWith("key") && !value.startsWith("DHHC-1:"), "EINVAL");
      host!.set(attribute!, value);
    } else if (attribute === "namespaces") {
      const namespace = this.#subsystem(name).namespaces.get(Number(nsid));
      refuse(namespace === undefined, "ENOENT");
      this.#writeNamespace(namespace!, inner!, value);
    } else {
      const subsystem = this.#subsystem(name);
      const lengthMax = stringLengthMax.get(attribute!);
      const wrong = lengthMax !== undefined && (value.length === 0 || value.length > lengthMax);
      const fixed = lengthMax !== undefined && subsystem.discovered;
      const opens = attribute === "attr_allow_any_host" && value === "1";
      refuse(wrong || fixed || (opens && subsystem.hosts.size > 0), "EINVAL");
      subsystem.attributes.set(attribute!, value);
    }
  }

  async link(path: string, target: string): Promise<void> {
    this.#count();
    const nqn = target.split("/")[1]!;
    if (path.startsWith("subsystems/")) {
      const { attributes, hosts } = this.#subsystem(path.split("/")[1]);
      refuse(!this.hosts.has(nqn), "ENOENT");
      refuse(attributes.get("attr_allow_any_host") === "1", "EINVAL");
      refuse(hosts.has(nqn), "EEXIST");
      hosts.add(nqn);
      return;
    }
    const port = this.#port(path.split("/")[1]);
    this.#subsystem(nqn);
    refuse(port.links.has(nqn), "EEXIST");
    const complete = portAttributes.every((name) => port.attributes.has(name));
    refuse(!complete, "EINVAL");
    refuse(this.deaf.has(Number(path.split("/")[1])), "EADDRINUSE");
    port.links.add(nqn);
  }

  async unlink(path: string): Promise<void> {
    this.#count();
    const [kind, name, , target] = path.split("/");
    const links = kind === "ports" ? this.#port(name).links : this.#subsystem(name).hosts;
    refuse(!links.delete(target!), "ENOENT");
  }

  #writeNamespace(namespace: ModelNamespace, attribute: string, value: string): void {
    if (attribute === "enable") {
      const path = namespace.attributes.get("device_path");
      const opens = path !== undefined && (this.openable?.has(path) ?? true);
      refuse(value === "1" && !namespace.enabled && !opens, "ENODEV");
      namespace.enabled = value === "1";
    } else if (attribute === "revalidate_size") {
      refuse(!namespace.enabled, "EINVAL");
    } else {
      refuse(namespace.enabled, "EBUSY");
      namespace.attributes.set(attribute, value);
    }
  }

  #subsystem(name: string | undefined): ModelSubsystem {
    const subsystem = this.subsystems.get(name ?? "");
    refuse(subsystem === undefined, "ENOENT");
    return subsystem!;
  }

  #port(name: string | undefined): ModelPort {
    const port = this.ports.get(Number(name));
    refuse(port === undefined, "ENOENT");
    return port!;
  }

  #count(): void {
    this.calls += 1;
    if (this.callsUntilCrash !== null) {
      this.callsUntilCrash -= 1;
      refuse(this.callsUntilCrash < 0, "CRASH");
    }
  }
}

function refuse(condition: boolean, code: string): void {
  if (condition) {
    throw Object.assign(new Error(code), { code });
  }
}
