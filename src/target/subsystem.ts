/** One subsystem: namespaces, who may come, and the controllers that hosts have made. */

import { isDeepStrictEqual } from "node:util";
import type { DhchapGroup, DhchapHash } from "../nvme/index.ts";
import type { Controller } from "./controller.ts";
import { namespacesMax, type TargetLimits } from "./limits.ts";
import { Namespace, type NamespaceOptions } from "./namespace.ts";
import type { TlsPolicy } from "./secure-channel.ts";

/** What one host may do, and what it must know. */
export interface HostAccess {
  /** The host's DH-HMAC-CHAP secret (`DHHC-1:…`); it must authenticate when there is one. */
  readonly secret?: string;
  /** The controller's secret, for hosts that want to be sure of it. */
  readonly controllerSecret?: string;
  /**
   * Hashes that DH-HMAC-CHAP may use with this host, the preferred first; all unless told, the
   * strongest first. A host that offers none of them is refused.
   */
  readonly hashes?: readonly DhchapHash[];
  /** The same for Diffie-Hellman groups; all unless told, ffdhe3072 first. */
  readonly groups?: readonly DhchapGroup[];
  /** Refuse this host's writes. */
  readonly readOnly?: boolean;
}

/** In place of a host's name: every host that is not named. */
export const everyHost = "*";

/** What a subsystem is made from. */
export interface SubsystemOptions {
  readonly nqn: string;
  /** Up to 20 printable characters; differs from every other subsystem's. */
  readonly serial: string;
  /** Up to 40 printable characters. */
  readonly model?: string;
  /** Up to 8 printable characters. */
  readonly firmware?: string;
  /** Who may connect: everybody, or the hosts named by their NQNs or as `everyHost`. */
  readonly hosts: "any" | ReadonlyMap<string, HostAccess>;
  /**
   * Whether hosts must, may or must not come by TLS, where their listener leaves that open;
   * "optional" unless told. Where it is "required" and the listener takes both, a host with a
   * `secret` may come in the clear to make its key by authentication, and for nothing else.
   */
  readonly tls?: TlsPolicy;
  readonly namespaces?: readonly NamespaceOptions[];
}

/** What is unique to a subsystem's model and firmware unless told. */
const modelDefault = "Diskomator";
const firmwareDefault = "1";

/** A subsystem as it is served. */
export class Subsystem {
  readonly nqn: string;
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
  readonly tls: TlsPolicy;
  readonly namespaces = new Map<number, Namespace>();
  readonly controllers = new Map<number, Controller>();
  /** Device calls of connections that are gone, by host identifier: they may still write. */
  readonly leftovers = new Map<string, Set<Promise<unknown>>>();
  #hosts: "any" | ReadonlyMap<string, HostAccess>;
  readonly #limits: TargetLimits;
  #lastCntlid = 0;

  /** @throws RangeError when two namespaces want the same id, or there are too many. */
  constructor(options: SubsystemOptions, limits: TargetLimits) {
    this.nqn = options.nqn;
    this.serial = options.serial;
    this.model = options.model ?? modelDefault;
    this.firmware = options.firmware ?? firmwareDefault;
    this.#hosts = copyOf(options.hosts);
    this.tls = options.tls ?? "optional";
    this.#limits = limits;
    for (const namespace of options.namespaces ?? []) this.addNamespace(namespace);
  }

  /** Adds a namespace; connected hosts are told. */
  addNamespace(options: NamespaceOptions): Namespace {
    let { nsid } = options;
    if (nsid === undefined) {
      nsid = 1;
      while (this.namespaces.has(nsid)) nsid++;
    }
    if (nsid < 1 || nsid > namespacesMax || this.namespaces.has(nsid)) {
      throw new RangeError(
        `Cannot add namespace ${nsid} to ${this.nqn}: the id is ` +
          `${this.namespaces.has(nsid) ? "taken" : `not from 1 to ${namespacesMax}`}.`,
      );
    }
    const namespace = new Namespace(nsid, options);
    this.namespaces.set(nsid, namespace);
    this.namespaceChanged(nsid);
    return namespace;
  }

  /** Removes a namespace: its commands are aborted, connected hosts are told. */
  removeNamespace(nsid: number): boolean {
    const namespace = this.namespaces.get(nsid);
    if (!namespace) return false;
    this.namespaces.delete(nsid);
    for (const controller of this.controllers.values())
      controller.abortNamespace(nsid, "abortRequested");
    this.namespaceChanged(nsid);
    return true;
  }

  /** Tells connected hosts that a namespace is not what it was: its size, or its being there. */
  namespaceChanged(nsid: number): void {
    for (const controller of this.controllers.values()) controller.noteNamespaceChanged(nsid);
  }

  /** What a host may do here; undefined when it may not come. */
  accessOf(hostnqn: string): HostAccess | undefined {
    return accessIn(this.#hosts, hostnqn);
  }

  /**
   * Changes who may come, and ends the controllers of hosts for which something changed.
   * @returns Whether something changed for a host.
   */
  setHosts(hosts: SubsystemOptions["hosts"]): (hostnqn: string) => boolean {
    const before = this.#hosts;
    this.#hosts = copyOf(hosts);
    const isChanged = (hostnqn: string) =>
      !isDeepStrictEqual(accessIn(before, hostnqn), accessIn(hosts, hostnqn));
    for (const controller of [...this.controllers.values()]) {
      if (isChanged(controller.host.hostnqn)) {
        controller.end("what the host may do here has changed");
      }
    }
    return isChanged;
  }

  /** A controller id that is free; undefined when the host or all hosts have too many controllers. */
  allocateCntlid(hostnqn: string): number | undefined {
    const { controllersMax, hostControllersMax } = this.#limits;
    if (this.controllers.size >= controllersMax) return undefined;
    const others = [...this.controllers.values()].filter(({ host }) => host.hostnqn === hostnqn);
    if (others.length >= hostControllersMax) return undefined;
    do this.#lastCntlid = this.#lastCntlid >= cntlidMax ? 1 : this.#lastCntlid + 1;
    while (this.controllers.has(this.#lastCntlid));
    return this.#lastCntlid;
  }
}

/** The caller may change its map, and then hand it over. */
function copyOf(hosts: SubsystemOptions["hosts"]): SubsystemOptions["hosts"] {
  return hosts === "any" ? hosts : new Map(hosts);
}

function accessIn(hosts: SubsystemOptions["hosts"], hostnqn: string): HostAccess | undefined {
  return hosts === "any" ? {} : (hosts.get(hostnqn) ?? hosts.get(everyHost));
}

/** FFF0h and above are reserved (Base 2.0 figure 275). */
const cntlidMax = 0xffef;
