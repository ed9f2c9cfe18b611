/** What the box does when a host asks to be let in to disks. */
import {
  type AccessMode,
  type Call,
  type GrantedAccess,
  type GrantMode,
  orphanGraceSeconds,
  type Params,
  RpcError,
} from "../rpc/index.ts";
import {
  type BoxMethodsSetup,
  type ExportedRow,
  findDisk,
  mustBeExported,
  stateOf,
} from "./box-methods.ts";
import { grantNqn } from "./grant-exports.ts";
import type { GrantHolders } from "./grant-holders.ts";
import { type Grant, type GrantFault, type GrantRequest, isGrant } from "./grants.ts";
import type { Disk } from "./inventory.ts";
import { readOnlyPort, servicePort } from "./nvmet.ts";
import type { State } from "./state.ts";

/** The method `grant`. */
export async function grant(
  setup: BoxMethodsSetup,
  holders: GrantHolders,
  params: Params<"grant">,
  call: Call<"grant">,
): Promise<GrantedAccess> {
  const { box, tools, grants, log } = setup;
  const state = stateOf(box);
  refuseByMode(state.access, setup.isLetIn());
  const rows = params.disks.map((name) => mustBeExported(findDisk(state, name)));
  for (const { disk } of rows) {
    if (params.mode !== "rw" || !(state.readOnly || disk.readOnly)) continue;
    const who = state.readOnly ? "this box opens no disk for writing" : "the disk takes no writes";
    const message = `Cannot grant writing to ${disk.name}: ${who}. Ask for "ro" or "overlay".`;
    throw new RpcError("read-only", message, { disk: disk.name });
  }
  if (params.shared && params.mode !== "rw") {
    const message = `Only what is written to can be shared: the grant is asked for as "${params.mode}".`;
    throw new RpcError("invalid", message, { mode: params.mode });
  }
  const nqns = [...new Set(rows.map((row) => row.state.nqn))];
  const before = grants.find({ ...params, nqns });
  const overlayBytes = params.mode === "overlay" ? overlayRoom(setup, params, before) : null;
  const request = { ...params, nqns, overlayBytes, twins: twinsOf(state, rows) };
  await clearOrphans(setup, request);
  const now = { monotonicMs: tools.monotonicMs(), date: tools.now() };
  const given = grants.add(request, now, setup.keys);
  if (!isGrant(given)) throw refusal(given, state, rows, params.mode);
  const { id, hostnqn } = given;
  const disks = rows.map(({ disk }) => disk.name).join(",");
  const { mode, purpose } = params;
  log("granted", { grant: id, host: hostnqn, disks, mode, purpose, until: given.expiresAt });
  const takeBack = async (): Promise<void> => {
    const isGone = grants.revoke(id) !== null;
    await box.settle();
    if (isGone) log("revoked", { grant: id, host: hostnqn });
  };
  await box.settle();
  const missing = nqns.filter((nqn) => !box.reach.served.has(grantNqn(nqn, hostnqn)));
  if (missing.length > 0) {
    // Who had it before, and lost the disk for a moment, comes back with the keys that it has.
    if (before === undefined) await takeBack();
    const why = box.reach.failures.join("; ") || "the kernel does not serve it";
    throw new RpcError("failed", `Cannot serve ${disks} to ${hostnqn}: ${why}.`, { missing });
  }
  holders.hold(id, params.untilSessionEnds ? call.session : null);
  return accessOf(setup, state, given, rows);
}

/**
 * Who was killed and comes again is another host, and what it left must not keep it out. When this is
 * done, the hosts of those grants are, too.
 */
async function clearOrphans(
  { box, grants, log }: BoxMethodsSetup,
  request: GrantRequest,
): Promise<void> {
  const orphans = grants.orphansInTheWay(request);
  if (orphans.length === 0) return;
  for (const { id, hostnqn } of orphans) {
    grants.revoke(id);
    log("revoked", { grant: id, host: hostnqn });
  }
  await box.settle();
}

/** NQNs of disks that are the same ones on other cables: the kernel takes each cable for a disk. */
function twinsOf(state: State, rows: readonly ExportedRow[]): readonly string[] {
  return state.disks.flatMap((other) => {
    const isTwin = rows.some(({ disk }) => isSameMedium(disk, other.disk));
    return isTwin && other.state.kind === "exported" ? [other.state.nqn] : [];
  });
}

/** Serial numbers are not enough: makers of cheap sticks give the same one to all. */
function isSameMedium(a: Disk, b: Disk): boolean {
  const isUnique = a.identity.kind === "wwid" && b.identity.kind === "wwid";
  return isUnique && a.identity.value === b.identity.value && a.sizeBytes === b.sizeBytes;
}

/**
 * A grant whose session has ended: its host has a moment to ask for it again over another one, unless
 * somebody else asks first.
 */
export function orphan({ box, tools, grants, log }: BoxMethodsSetup, id: string): void {
  const monotonicMs = tools.monotonicMs() + orphanGraceSeconds * 1000;
  const date = new Date(tools.now().getTime() + orphanGraceSeconds * 1000);
  if (!grants.orphan(id, { monotonicMs, date })) return;
  log("orphaned", { grant: id, seconds: orphanGraceSeconds });
  void box.settle();
}

function refuseByMode(access: AccessMode, isLetIn: boolean): void {
  if (access !== "local" || isLetIn) return;
  const message =
    "The box lets nobody in until somebody presses L on its keyboard (access mode local).";
  throw new RpcError("refused", message, { access });
}

/**
 * How much an overlay may hold, all overlays taken together. One that there is keeps what it has: with
 * another size it would be another one, and what was written to it gone.
 */
function overlayRoom(
  { tools, grants }: BoxMethodsSetup,
  { overlayBytes, disks }: Params<"grant">,
  before: Grant | undefined,
): number {
  if (before?.overlayBytes != null) return before.overlayBytes;
  const taken = grants.list.reduce(
    (sum, one) => sum + (one.overlayBytes ?? 0) * one.nqns.length,
    0,
  );
  const free = tools.overlayBytesMax - taken;
  const each = overlayBytes ?? Math.floor(tools.overlayBytesMax / 2);
  if (each * disks.length <= free) return each;
  const message =
    `Cannot hold ${each * disks.length} bytes of writes in memory: the box has ${Math.max(0, free)} ` +
    "left for that. Ask for less, or revoke a grant.";
  throw new RpcError("limit", message, { free, wanted: each * disks.length });
}

function refusal(
  fault: GrantFault,
  state: State,
  rows: readonly ExportedRow[],
  mode: GrantMode,
): RpcError {
  if (fault.fault === "limit") {
    return new RpcError("limit", "The box has as many grants as it takes. Revoke one first.");
  }
  const { grant, nqn } = fault;
  const other = state.disks.find((row) => "nqn" in row.state && row.state.nqn === nqn)?.disk;
  const disk = rows.find(
    (row) => row.state.nqn === nqn || (other !== undefined && isSameMedium(row.disk, other)),
  )?.disk.name;
  const facts = { disk, grant: grant.id, mode: grant.mode };
  if (fault.fault === "other-mode") {
    const message = `This host has ${disk} already, as "${grant.mode}" (grant ${grant.id}). Revoke that first.`;
    return new RpcError("refused", message, facts);
  }
  const until =
    grant.expiresAt === null
      ? "until it is taken back"
      : `until ${grant.expiresAt} unless it goes on`;
  const why =
    grant.mode === mode
      ? "two hosts that write to one disk spoil it, unless both share it as cluster file systems do"
      : "who reads a disk while another host writes to it sees neither state of it";
  const message =
    `Cannot grant ${disk} as "${mode}": ${grant.purpose || grant.hostnqn} has it as "${grant.mode}" ` +
    `(grant ${grant.id}, ${until}), and ${why}. End that first; a box that is booted again forgets it.`;
  return new RpcError("refused", message, facts);
}

function accessOf(
  { grants, tls }: BoxMethodsSetup,
  state: State,
  given: Grant,
  rows: readonly ExportedRow[],
): GrantedAccess {
  const { id, hostnqn, mode, expiresAt } = given;
  const secrets = grants.secretsOf(hostnqn);
  if (secrets === undefined) throw new RpcError("no-such-grant", `Grant ${id} is gone already.`);
  const hasTls = mode !== "rw" || tls;
  const port = mode === "rw" ? servicePort : readOnlyPort;
  return {
    grant: id,
    hostnqn,
    mode,
    expiresAt,
    secrets: { host: secrets.host, controller: secrets.controller },
    tlsPsk: hasTls ? secrets.tlsPsk : null,
    addresses: [...state.addresses],
    disks: rows.map(({ disk, state: { nqn: diskNqn, uuid } }) => {
      const nqn = grantNqn(diskNqn, hostnqn);
      return {
        name: disk.name,
        serial: disk.serial,
        nqn,
        nsid: 1,
        uuid,
        port,
        sizeBytes: disk.sizeBytes,
        blockSizeBytes: disk.blockSizeBytes,
        readOnly: mode === "ro",
        tlsIdentity: (hasTls && given.keys.find((one) => one.nqn === diskNqn)?.identity) || null,
      };
    }),
  };
}
