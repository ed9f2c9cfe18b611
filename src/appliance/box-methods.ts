/**
 * What the box does for each method of the control channel. Whoever gets here is root on the box by
 * SSH; what is checked is that a call makes sense, not who calls.
 */
import type { BlockDevice } from "../block/index.ts";
import {
  type Call,
  type DiskView,
  type Handlers,
  hashesMax,
  type Params,
  type PeerView,
  RpcError,
  rpcVersion,
} from "../rpc/index.ts";
import { type BootMethodsSetup, bootMethods } from "./boot-methods.ts";
import type { EventList } from "./events.ts";
import { grantNqn } from "./grant-exports.ts";
import { GrantHolders } from "./grant-holders.ts";
import { grant, orphan } from "./grant-method.ts";
import type { Grants, KeyMaker } from "./grants.ts";
import { type HashedDisk, hashRanges } from "./hashing.ts";
import type { Log } from "./log.ts";
import { discoveryPort, readOnlyPort, servicePort } from "./nvmet.ts";
import { isBackstageReason } from "./policy.ts";
import type { DiskRow, State } from "./state.ts";

/** What the daemon is asked. */
export interface BoxState {
  /** Null while the box takes stock for the first time. */
  readonly state: State | null;
  settle(): Promise<void>;
  readonly reach: { readonly served: ReadonlySet<string>; readonly failures: readonly string[] };
}

/** What the machine is asked beside the daemon; each may take time, and says null when it cannot. */
export interface BoxTools {
  /** For reading only, and past what the kernel remembers of it. */
  openDisk(name: string): Promise<BlockDevice>;
  /** As `openDisk`. */
  openHashed(name: string): Promise<HashedDisk>;
  contents(name: string): Promise<DiskView["contents"]>;
  health(name: string, transport: string): Promise<DiskView["health"]>;
  traffic(name: string): DiskView["traffic"];
  peers(): readonly PeerView[];
  overlayUse(nqn: string): { readonly usedBytes: number; readonly maxBytes: number } | null;
  /** Bytes of memory that overlays may take in all. */
  readonly overlayBytesMax: number;
  now(): Date;
  monotonicMs(): number;
  /**
   * Begins to end the machine; it lives on for an answer.
   * @throws ApplianceError `tool` when it stays
   */
  end(how: "reboot" | "poweroff" | "kexec"): Promise<void>;
  blink(disk: string | null, seconds: number): void;
}

/** What the methods are made from. */
export interface BoxMethodsSetup {
  readonly box: BoxState;
  readonly tools: BoxTools;
  readonly grants: Grants;
  readonly keys: KeyMaker;
  /** By identity; `settle` makes a change hold. */
  readonly choices: { readonly withdrawn: Set<string>; readonly offered: Set<string> };
  readonly events: EventList;
  readonly tls: boolean;
  /** In `local` mode: whether somebody at the box has let hosts in. */
  readonly isLetIn: () => boolean;
  readonly boot: BootMethodsSetup["boot"];
  readonly log: Log;
}

/** The handlers of a box. */
export function boxMethods(setup: BoxMethodsSetup): Handlers {
  const { box, tools, events, log } = setup;
  const done = {};
  const holders = new GrantHolders((id) => orphan(setup, id));
  let hashing = 0;
  return {
    describe: async () => describe(stateOf(box), setup),
    disks: (params) => listDisks(setup, params),
    grant: (params, call) => grant(setup, holders, params, call),
    revoke: async ({ grant: id }) => {
      const grant = setup.grants.revoke(id);
      if (grant === null) {
        const grants = setup.grants.list.map((one) => one.id);
        const message = `There is no grant ${id}: it was revoked, has expired, or never was.`;
        throw new RpcError("no-such-grant", message, { grant: id, grants });
      }
      await box.settle();
      log("revoked", { grant: id, host: grant.hostnqn });
      return done;
    },
    export: async ({ disk }) => {
      const { identity, name } = findDisk(stateOf(box), disk).disk;
      setup.choices.withdrawn.delete(identity.value);
      setup.choices.offered.add(identity.value);
      log("offered", { disk: name });
      await box.settle();
      mustBeExported(findDisk(stateOf(box), name));
      return done;
    },
    unexport: async ({ disk }) => {
      const row = findDisk(stateOf(box), disk);
      setup.choices.offered.delete(row.disk.identity.value);
      setup.choices.withdrawn.add(row.disk.identity.value);
      for (const { id, nqns } of setup.grants.list) {
        if (row.state.kind === "exported" && nqns.includes(row.state.nqn)) setup.grants.revoke(id);
      }
      log("withdrawn", { disk: row.disk.name });
      await box.settle();
      return done;
    },
    hash: async (params, { send, signal }) => {
      const { disk } = findDisk(stateOf(box), params.disk);
      const isLong = params.ranges.reduce((sum, one) => sum + one.lengthBytes, 0) > briefBytes;
      if (isLong && hashing >= hashesMax) {
        const message = `The box hashes ${hashing} disks already, as many as it can. Try again later.`;
        throw new RpcError("limit", message, { hashing });
      }
      if (isLong) hashing += 1;
      try {
        await using device = await tools.openHashed(disk.name);
        return await hashRanges(device, params, send, signal);
      } catch (error) {
        if (error instanceof RpcError || signal.aborted) throw error;
        const why = error instanceof Error ? error.message : String(error);
        throw new RpcError("failed", `Cannot read ${disk.name}: ${why}`, { disk: disk.name });
      } finally {
        if (isLong) hashing -= 1;
      }
    },
    watch: (_params, { send, signal }) => watch(events, send, signal),
    log: async ({ after }) => ({ events: [...events.after(after)] }),
    ...bootMethods(setup),
    reboot: async () => {
      await end(setup, "reboot");
      return done;
    },
    powerOff: async () => {
      await end(setup, "poweroff");
      return done;
    },
    blink: async ({ disk, seconds }) => {
      const name = disk === undefined ? null : findDisk(stateOf(box), disk).disk.name;
      log("blink", { disk: name, seconds });
      tools.blink(name, seconds);
      return done;
    },
  };
}

async function end({ tools, log }: BoxMethodsSetup, how: "reboot" | "poweroff"): Promise<void> {
  log("going", { how });
  try {
    await tools.end(how);
  } catch (error) {
    throw new RpcError("failed", `The box does not go: ${reasonOf(error)}`, { how });
  }
}

/** An error in a sentence. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.?$/, ".");
}

/** What is hashed in a moment finds room beside what takes long. */
const briefBytes = 16 * 1024 * 1024;

/** @throws RpcError `failed` before the first look */
export function stateOf({ state }: BoxState): State {
  if (state !== null) return state;
  throw new RpcError("failed", "The box has not looked at its disks yet. Ask again in a second.");
}

function describe(state: State, { tls, tools }: BoxMethodsSetup) {
  const { name, fullName, box, version, access, readOnly, bootMedium } = state;
  const { addresses, problems, startedAt, bootedAt } = state;
  return {
    rpc: rpcVersion,
    name,
    fullName,
    box,
    version,
    access,
    readOnly,
    bootMedium,
    startedAt,
    bootedAt,
    addresses: [...addresses],
    problems: [...problems],
    ports: { nvme: servicePort, discovery: discoveryPort, readOnly: readOnlyPort },
    tls,
    now: tools.now().toISOString(),
  };
}

/**
 * The one disk of a name.
 * @throws RpcError `no-such-disk` where there is none or several
 */
export function findDisk(state: State, wanted: string): DiskRow {
  const bare = wanted.startsWith("/dev/") ? wanted.slice("/dev/".length) : wanted;
  const rows = state.disks.filter(isOnStage);
  const byName = rows.filter(({ disk }) => disk.name === bare);
  const others = rows.filter(
    ({ disk, state: { kind, ...more } }) =>
      disk.serial === wanted ||
      disk.identity.value === wanted ||
      (kind === "exported" && "nqn" in more && more.nqn === wanted),
  );
  const found = byName.length > 0 ? byName : others;
  const [row] = found;
  if (row !== undefined && found.length === 1) return row;
  const list = (from: readonly DiskRow[]) => from.map(({ disk }) => disk.name);
  const message =
    found.length > 1
      ? `${found.length} disks are called ${wanted}: ${list(found).join(", ")}. Use one of these names.`
      : `No disk is called ${wanted}; there are: ${list(rows).join(", ") || "none"}.`;
  throw new RpcError("no-such-disk", message, { wanted, disks: list(rows) });
}

function isOnStage({ state }: DiskRow): boolean {
  return state.kind !== "not exported" || !isBackstageReason(state.reason.code);
}

/** A disk that hosts may be let in to. */
export type ExportedRow = DiskRow & { readonly state: { readonly kind: "exported" } };

/** @throws RpcError `not-exported` that says why */
export function mustBeExported(row: DiskRow): ExportedRow {
  const { disk, state } = row;
  if (state.kind === "exported") return { disk, state };
  const why = state.kind === "failing" ? state.error : state.reason.text;
  throw new RpcError("not-exported", `Disk ${disk.name} is not exported: ${why}.`, {
    disk: disk.name,
    ...(state.kind === "failing" ? {} : { reason: state.reason.code }),
  });
}

async function listDisks({ box, tools, grants }: BoxMethodsSetup, wants: Params<"disks">) {
  const state = stateOf(box);
  // The tools ask few disks at once: one that does not answer holds up no other.
  const views = state.disks.filter(isOnStage).map(async (row): Promise<DiskView> => {
    const { name, sizeBytes } = row.disk;
    const isThere = sizeBytes > 0;
    const { devicePath: _path, diskSequence: _sequence, ...disk } = row.disk;
    const [contents, health] = await Promise.all([
      wants.contents && isThere ? tools.contents(name) : null,
      wants.health && isThere ? tools.health(name, disk.transport) : null,
    ]);
    return {
      ...disk,
      readOnly: disk.readOnly || state.readOnly,
      state: row.state,
      contents,
      traffic: tools.traffic(name),
      health,
    };
  });
  const disks = await Promise.all(views);
  const rows = new Map(state.grants.map((one) => [one.id, one]));
  return {
    disks,
    peers: [...tools.peers()],
    grants: grants.list.map(({ id, hostnqn, mode, shared, purpose, since, expiresAt, nqns }) => ({
      grant: id,
      hostnqn,
      mode,
      shared,
      purpose,
      since,
      expiresAt,
      disks: [...(rows.get(id)?.disks ?? [])],
      overlay: nqns.map((nqn) => tools.overlayUse(grantNqn(nqn, hostnqn))).find(Boolean) ?? null,
    })),
  };
}

/** Events that wait for a slow reader; more of them end the stream. */
const waitingEventsMax = 1000;

async function watch(
  events: EventList,
  send: Call<"watch">["send"],
  signal: AbortSignal,
): Promise<Record<string, never>> {
  const waiting: Parameters<typeof send>[0][] = [];
  let wake = (): void => {};
  const stop = events.watch((event) => {
    waiting.push(event);
    wake();
  });
  const aborted = (): void => wake();
  signal.addEventListener("abort", aborted, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      if (waiting.length > waitingEventsMax) {
        throw new RpcError("limit", "Events came faster than they were read. Watch again.");
      }
      const event = waiting.shift();
      if (event !== undefined) await send(event);
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    stop();
    signal.removeEventListener("abort", aborted);
  }
}
