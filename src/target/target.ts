/**
 * A target without I/O: subsystems, who is connected, and what Connect makes of a connection.
 * NVMe Base 2.0 §6.3 (Connect), §3.1.2 (discovery controllers).
 */

import {
  anyController,
  type CommandOf,
  connectData,
  connectResult,
  discoveryNqn,
  dwordOf,
  nqnBytesMax,
  offsetOf,
} from "../nvme/index.ts";
import { type Admission, admit } from "./admission.ts";
import { type Answer, type Call, connectFailure, failure, success } from "./answer.ts";
import { Authentication, type AuthenticationParties, secretOf } from "./authentication.ts";
import { TargetConnection } from "./connection.ts";
import { Controller } from "./controller.ts";
import { encodeDiscovery, type Listening, type Referral } from "./discovery.ts";
import { GeneratedKeys } from "./generated-keys.ts";
import { HalfOpen } from "./half-open.ts";
import { adminQueueEntriesMax, checkLimits, defaultLimits, type TargetLimits } from "./limits.ts";
import { BufferPool, ByteBudget } from "./pool.ts";
import type { Services, SuccessPolicy } from "./services.ts";
import { Statistics, type StatisticsSnapshot } from "./statistics.ts";
import { type HostAccess, Subsystem, type SubsystemOptions } from "./subsystem.ts";
import type { TargetLog, Transport } from "./transport.ts";

/** What a target is made from. */
export interface TargetOptions {
  readonly subsystems?: readonly SubsystemOptions[];
  readonly limits?: Partial<TargetLimits>;
  readonly successPolicy?: SuccessPolicy;
  readonly referrals?: readonly Referral[];
  /** A name of the discovery service beside the well-known one. */
  readonly discoveryNqn?: string;
  readonly log?: TargetLog;
}

/** What a target needs of the world. */
export interface TargetWorld {
  /** A clock in milliseconds that never goes back. */
  nowMs(): number;
  /** As many unpredictable bytes. */
  random(lengthBytes: number): Uint8Array;
}

/** What was done for whom, as data. */
export interface TargetStatistics {
  readonly connections: number;
  readonly bytesInFlight: number;
  readonly hosts: ReadonlyMap<string, StatisticsSnapshot>;
  /** By subsystem and namespace. */
  readonly namespaces: readonly {
    readonly nqn: string;
    readonly nsid: number;
    readonly counts: StatisticsSnapshot;
  }[];
}

/** Hosts that are kept in mind. */
const knownHostsMax = 1024;

/** What a host has, whatever its controllers. */
interface KnownHost {
  readonly statistics: Statistics;
  /** Its share of the memory: no host takes all of it. */
  readonly budget: ByteBudget;
}

/** Offsets in the command and in the data that Connect is refused for. */
const inCommand = { qid: offsetOf("connect", "qid"), sqsize: offsetOf("connect", "sqsize") };
const { cntlid, subnqn, hostnqn } = connectData.offsets;
const inData = { cntlid: cntlid!, subnqn: subnqn!, hostnqn: hostnqn! };
const connectedAgain = "the host connected the queue again";

/** The target. */
export class Target implements Services {
  readonly limits: TargetLimits;
  readonly pool = new BufferPool();
  readonly budget: ByteBudget;
  readonly log: TargetLog;
  readonly successPolicy: SuccessPolicy;
  readonly startedMs: number;
  /** Keys for TLS that were made by authentication. */
  readonly generatedKeys = new GeneratedKeys();
  readonly #world: TargetWorld;
  readonly #subsystems = new Map<string, Subsystem>();
  readonly #discovery: Subsystem;
  readonly #referrals: readonly Referral[];
  readonly #listenings = new Set<Listening>();
  readonly #connections = new Set<TargetConnection>();
  readonly #halfOpen: HalfOpen<TargetConnection>;
  readonly #hosts = new Map<string, KnownHost>();
  #genctr = 1n;

  /** @throws RangeError when a name is taken twice, a secret is malformed, a list empty, or a
   *   limit none that can be. */
  constructor(options: TargetOptions, world: TargetWorld) {
    this.limits = { ...defaultLimits, ...options.limits };
    checkLimits(this.limits);
    this.budget = new ByteBudget(this.limits.bytesInFlightMax);
    this.log = options.log ?? (() => {});
    this.successPolicy = options.successPolicy ?? "without-flow-control";
    this.#world = world;
    this.#halfOpen = new HalfOpen(this.limits);
    this.#referrals = options.referrals ?? [];
    this.startedMs = world.nowMs();
    this.#discovery = new Subsystem(
      { nqn: options.discoveryNqn ?? discoveryNqn, serial: "discovery", hosts: "any" },
      this.limits,
    );
    for (const subsystem of options.subsystems ?? []) this.addSubsystem(subsystem);
  }

  /** All subsystems with namespaces, by their names. */
  get subsystems(): ReadonlyMap<string, Subsystem> {
    return this.#subsystems;
  }

  /** Connections that are open. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Adds a subsystem; discovery controllers tell their hosts. */
  addSubsystem(options: SubsystemOptions): Subsystem {
    if (this.#subsystems.has(options.nqn)) {
      throw new RangeError(`Cannot add subsystem ${options.nqn}: there is one of that name.`);
    }
    checkHosts(options.hosts);
    const subsystem = new Subsystem(options, this.limits);
    this.#subsystems.set(options.nqn, subsystem);
    this.discoveryChanged();
    return subsystem;
  }

  /** Removes a subsystem; its hosts are disconnected. */
  removeSubsystem(nqn: string): boolean {
    const subsystem = this.#subsystems.get(nqn);
    if (!subsystem) return false;
    this.#subsystems.delete(nqn);
    this.generatedKeys.revoke(nqn);
    for (const controller of [...subsystem.controllers.values()]) {
      controller.end("the subsystem was removed");
    }
    this.discoveryChanged();
    return true;
  }

  /**
   * Changes who may come to a subsystem. Hosts that may no longer, or may do something else now,
   * are disconnected; discovery controllers tell their hosts. False when there is no such subsystem.
   * @throws RangeError as `addSubsystem`.
   */
  setHosts(nqn: string, hosts: SubsystemOptions["hosts"]): boolean {
    checkHosts(hosts);
    const subsystem = this.#subsystems.get(nqn);
    if (!subsystem) return false;
    const isChanged = subsystem.setHosts(hosts);
    // Who has a key that was made by an old secret would not have to know the new one.
    this.generatedKeys.revoke(nqn, (hostnqn) => !isChanged(hostnqn));
    this.discoveryChanged();
    return true;
  }

  /** Hosts can connect there from now on, until the returned function is called. */
  addListening(listening: Listening): () => void {
    this.#listenings.add(listening);
    this.discoveryChanged();
    return () => {
      if (this.#listenings.delete(listening)) this.discoveryChanged();
    };
  }

  /** What hosts discover is not what it was. */
  discoveryChanged(): void {
    this.#genctr++;
    for (const controller of this.#discovery.controllers.values()) controller.post("discoveryLog");
  }

  /** Takes a connection; `undefined` when there are too many, and it is to be closed. */
  accept(transport: Transport): TargetConnection | undefined {
    const { address, port } = transport.remote;
    const peer = `${address}:${port}`;
    if (this.#connections.size >= this.limits.connectionsMax) {
      this.log("connection-refused", { peer, reason: "too many connections" });
      return undefined;
    }
    const connection = new TargetConnection(this, transport);
    this.#connections.add(connection);
    const leaving = this.#halfOpen.add(connection, this.#world.nowMs());
    leaving?.end("too many connections without a finished Connect");
    this.log("connection-accepted", { peer });
    return connection;
  }

  /** Time passes for all connections. */
  tick(nowMs: number): void {
    for (const connection of [...this.#connections]) connection.tick(nowMs);
  }

  /** Ends all connections. */
  close(reason: string): void {
    for (const connection of [...this.#connections]) connection.end(reason);
  }

  /** Resolves when no call on a device is under way for anybody. */
  async settled(): Promise<void> {
    const leftovers = [...this.#subsystems.values()].flatMap(({ leftovers: byHost }) =>
      [...byHost.values()].flatMap((set) => [...set]),
    );
    const open = [...this.#connections].map((connection) => connection.settled());
    await Promise.allSettled([...leftovers, ...open]);
  }

  /** Counts as they are now. */
  statistics(): TargetStatistics {
    return {
      connections: this.#connections.size,
      bytesInFlight: this.budget.usedBytes,
      hosts: new Map([...this.#hosts].map(([nqn, host]) => [nqn, host.statistics.snapshot()])),
      namespaces: [...this.#subsystems.values()].flatMap(({ nqn, namespaces }) =>
        [...namespaces.values()].map(({ nsid, statistics }) => ({
          nqn,
          nsid,
          counts: statistics.snapshot(),
        })),
      ),
    };
  }

  discoveryLog(connection: TargetConnection, controller: Controller): Uint8Array {
    const { hostnqn } = controller.host;
    const visible = [...this.#subsystems.values()].filter(
      (subsystem) => subsystem.accessOf(hostnqn) !== undefined,
    );
    return encodeDiscovery({
      genctr: this.#genctr,
      subsystems: visible,
      listenings: [...this.#listenings],
      referrals: this.#referrals,
      discoveryNqn: this.#discovery.nqn,
      local: connection.transport.local,
    });
  }

  ended(connection: TargetConnection): void {
    this.#connections.delete(connection);
    this.#halfOpen.delete(connection);
  }

  completed(connection: TargetConnection): void {
    this.#halfOpen.delete(connection);
  }

  async connect(
    connection: TargetConnection,
    { command, data }: Call<CommandOf<"connect">>,
  ): Promise<Answer> {
    if (command.recfmt !== 0)
      return failure("connectIncompatibleFormat", offsetOf("connect", "recfmt"));
    const { hostnqn, subnqn, hostid, cntlid } = connectData.decode(data);
    const entriesMax = command.qid === 0 ? adminQueueEntriesMax : this.limits.queueEntriesMax;
    if (command.sqsize < 2 || command.sqsize > Math.max(entriesMax, this.limits.queueEntriesMax)) {
      return connectFailure(inCommand.sqsize, false);
    }
    if (!isName(hostnqn)) return connectFailure(inData.hostnqn, true);
    const isDiscovery = subnqn === discoveryNqn || subnqn === this.#discovery.nqn;
    const subsystem = isDiscovery ? this.#discovery : this.#subsystems.get(subnqn);
    const isHere = isDiscovery || !connection.transport.isDiscoveryOnly;
    if (!subsystem || !isHere) return connectFailure(inData.subnqn, true);
    // An I/O queue may leave the host identifier out: it is that of the admin queue.
    const isLeftOut = command.qid > 0 && hostid.every((byte) => byte === 0);
    const known = isLeftOut ? subsystem.controllers.get(cntlid)?.host.hostid : undefined;
    const id = known ?? Buffer.from(hostid).toString("hex");
    // Writes that an earlier connection of this host left behind must not overtake new ones.
    await Promise.all(subsystem.leftovers.get(id) ?? []);
    const isStillThere = isDiscovery || this.#subsystems.get(subnqn) === subsystem;
    if (!isStillThere) return connectFailure(inData.subnqn, true);
    if (connection.attachment) return failure("commandSequence");
    // From here on to its controller nothing is waited for: what holds now is what it gets.
    const access = subsystem.accessOf(hostnqn);
    const admission = admit(connection.transport, subsystem, {
      hostnqn,
      access,
      qid: command.qid,
      isDiscovery,
    });
    if (!access || typeof admission === "string") {
      const reason = typeof admission === "string" ? admission : "not allowed";
      this.log("host-refused", { ...connection.facts, hostnqn, subnqn, reason });
      return failure("connectInvalidHost");
    }
    const host = { hostnqn, hostid: id, access };
    const parties = { hostnqn, subnqn, access, qid: command.qid, ...admission };
    const authentication = this.#authenticationOf(parties);
    const found =
      command.qid === 0
        ? this.#makeController(connection, subsystem, host, admission, command.kato, cntlid)
        : await this.#findController(subsystem, host, admission, command.qid, cntlid);
    if (!(found instanceof Controller)) return found;
    if (connection.isEnded) return failure("abortedQueueDeleted");
    if (command.qid > 0) {
      // Of two that waited for the old connection to be at rest, the last one has the queue.
      found.ioQueues.get(command.qid)?.end(connectedAgain);
      found.ioQueues.set(command.qid, connection);
    }
    connection.attach({
      controller: found,
      qid: command.qid,
      entries: command.sqsize,
      isFlowControlled: !command.cattr.dissqflow,
      authentication,
    });
    if (command.qid === 0) this.log("host-connected", { ...connection.facts, hostnqn, subnqn });
    const demand = authentication?.demand ?? "none";
    const authreq = {
      reserved0: 0,
      atr: demand === "authentication",
      ascr: demand === "secure-channel",
    };
    return success(dwordOf(connectResult.encode({ cntlid: found.cntlid, authreq })));
  }

  #makeController(
    connection: TargetConnection,
    subsystem: Subsystem,
    host: Controller["host"],
    { security, isKeyOnly }: Admission,
    katoMs: number,
    wanted: number,
  ): Controller | Answer {
    if (wanted !== anyController) return connectFailure(inData.cntlid, true);
    if (connection.isEnded) return failure("abortedQueueDeleted");
    const cntlid = subsystem.allocateCntlid(host.hostnqn);
    if (cntlid === undefined) return failure("connectControllerBusy");
    const isDiscovery = subsystem === this.#discovery;
    const controller = new Controller(cntlid, subsystem, host, connection, {
      isDiscovery,
      security,
      isKeyOnly,
      katoMs: isDiscovery && katoMs === 0 ? this.limits.discoveryKatoMs : katoMs,
      nowMs: this.#world.nowMs(),
      ...this.#knownHost(host.hostnqn),
    });
    subsystem.controllers.set(cntlid, controller);
    return controller;
  }

  async #findController(
    subsystem: Subsystem,
    host: Controller["host"],
    { security }: Admission,
    qid: number,
    cntlid: number,
  ): Promise<Controller | Answer> {
    const controller = subsystem.controllers.get(cntlid);
    const isSame =
      controller?.host.hostnqn === host.hostnqn && controller.host.hostid === host.hostid;
    if (!controller || !isSame) return connectFailure(inData.cntlid, true);
    if (controller.isDiscovery || qid > this.limits.ioQueuesMax) {
      return connectFailure(inCommand.qid, false);
    }
    // What the admin queue has agreed upon holds for all: no queue of it goes in the clear.
    if (controller.security !== security) return failure("connectInvalidHost");
    if (!controller.isAuthenticated) return failure("authenticationRequired");
    if (!controller.isReady) return failure("commandSequence");
    if (!controller.hasEntrySizes) return connectFailure(inCommand.qid, false);
    const old = controller.ioQueues.get(qid);
    if (old) {
      // The host came back before its old connection was seen to be gone.
      old.end(connectedAgain);
      await old.settled();
    }
    const isAlive = subsystem.controllers.get(cntlid) === controller && controller.isReady;
    return isAlive ? controller : connectFailure(inData.cntlid, true);
  }

  #authenticationOf(parties: AuthenticationParties): Authentication | undefined {
    const { log } = this;
    return Authentication.of(parties, {
      random: (lengthBytes) => this.#world.random(lengthBytes),
      keep: (psk) => this.generatedKeys.add(parties, psk, this.#world.nowMs()),
      log,
    });
  }

  #knownHost(hostnqn: string): KnownHost {
    const known = this.#hosts.get(hostnqn);
    if (known) return known;
    const share = Math.ceil(this.limits.bytesInFlightMax / 2);
    const made = { statistics: new Statistics(), budget: new ByteBudget(share, this.budget) };
    if (this.#hosts.size < knownHostsMax) this.#hosts.set(hostnqn, made);
    return made;
  }
}

function isName(nqn: string): boolean {
  return nqn.length <= nqnBytesMax && /^nqn\.[\x21-\x7e]+$/.test(nqn);
}

/** Access that cannot be is found when the target is made, not when a host comes. */
function checkHosts(hosts: SubsystemOptions["hosts"]): void {
  if (hosts !== "any") for (const access of hosts.values()) checkAccess(access);
}

function checkAccess({ secret, controllerSecret, hashes, groups }: HostAccess): void {
  for (const text of [secret, controllerSecret]) if (text !== undefined) secretOf(text);
  for (const [what, list] of Object.entries({ hashes, groups })) {
    if (list?.length !== 0) continue;
    throw new RangeError(`A host's list of ${what} is empty. Name some, or leave it out for all.`);
  }
}
