/**
 * I/O commands other than plain reads and writes. NVM Command Set 1.0 §3.2, Base 2.0 §7.
 * Ranges were checked against the namespace by `checkRange` before anything is done.
 */

import {
  broadcastNsid,
  type Command,
  type CommandOf,
  connectData,
  datasetRange,
  encodeReservationStatus,
  fieldFault,
  offsetOf,
  reservationAcquireData,
  reservationRegisterData,
  reservationReleaseData,
} from "../nvme/index.ts";
import { type Answer, type Call, failure, success } from "./answer.ts";
import type { Controller } from "./controller.ts";
import { isReadOnlyFor } from "./identify.ts";
import type { TargetLimits } from "./limits.ts";
import type { Namespace } from "./namespace.ts";
import type { ReservationOutcome } from "./reservations.ts";

/** What is read at a time to verify or compare. */
const pieceBytes = 256 * 1024;
/** Byte offsets in the command: NSID, length of the SGL, SLBA, first dword. */
const at = {
  nsid: offsetOf("read", "nsid"),
  sglLength: offsetOf("read", "sglLength"),
  slba: offsetOf("read", "slba"),
  dword10: offsetOf("reservationRegister", "action"),
  nlb: offsetOf("read", "nlb"),
};

/** A range of blocks in bytes. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** The bytes of a range of blocks, or the refusal of one that runs over the namespace's end. */
export function checkRange(namespace: Namespace, slba: bigint, nlb: number): ByteRange | Answer {
  const blocks = BigInt(namespace.blocks);
  if (slba >= blocks || slba + BigInt(nlb) > blocks) {
    const lba = slba < BigInt(Number.MAX_SAFE_INTEGER) ? Number(slba) : 0;
    return { ...failure("lbaOutOfRange", at.slba), lba };
  }
  const { blockSizeBytes } = namespace;
  return { offsetBytes: Number(slba) * blockSizeBytes, lengthBytes: nlb * blockSizeBytes };
}

/** Set Features brings little. */
const featureBytesMax = 8192;
/** A list of 256 ranges of 16 bytes, the longest that Dataset Management has. */
const rangesBytesMax = 4096;

/** How long the data is that a command of the host brings; `found` where the command leaves it open. */
export function hostDataBytes(
  command: Command,
  namespace: Namespace | undefined,
  found: number,
): number {
  switch (command.name) {
    case "connect":
      return connectData.size;
    case "authenticationSend":
      return command.length;
    case "setFeatures":
      return Math.min(found, featureBytesMax);
    case "write":
    case "compare":
      return command.nlb * (namespace?.blockSizeBytes ?? 0);
    case "datasetManagement":
      // Linux always brings a list of 256 ranges, and says in the command how many count.
      return Math.max(command.nr * datasetRange.size, Math.min(found, rangesBytesMax));
    case "reservationRegister":
      return reservationRegisterData.size;
    case "reservationAcquire":
      return reservationAcquireData.size;
    case "reservationRelease":
      return reservationReleaseData.size;
    default:
      return 0;
  }
}

/** Counts a command that is none of the data path's, for its host and its namespace. */
export function countCommand(
  { statistics: ofHost, subsystem }: Controller,
  command: Command,
  status: number,
  tookMs: number,
): void {
  const namespace = subsystem.namespaces.get(command.nsid);
  const kind = command.name === "write" ? "write" : "other";
  const bytes = "nlb" in command ? command.nlb * (namespace?.blockSizeBytes ?? 0) : 0;
  for (const statistics of [ofHost, namespace?.statistics]) {
    if (status === 0) statistics?.[kind].add(bytes, tookMs);
    else if (statistics) statistics[kind].failures++;
  }
}

/** Executes a command of a queue that is ready. What brings data is answered at once. */
export function executeIo(
  controller: Controller,
  limits: TargetLimits,
  call: Call,
): Answer | Promise<Answer> {
  const { command } = call;
  if (command.name === "flush") return flush(controller, call);
  const namespace = controller.subsystem.namespaces.get(command.nsid);
  if (!namespace) return failure("invalidNamespace", at.nsid);
  const fault = fieldFault(command);
  if (fault) return failure(fault.status, fault.byte, fault.bit);
  if (command.name === "reservationReport") return report(controller, limits, namespace, command);
  const { hostid } = controller.host;
  const kind = changes(command) ? "write" : "read";
  if (!command.name.startsWith("reservation")) {
    if (!namespace.reservations.allows(hostid, kind)) return failure("reservationConflict");
    if (kind === "write" && isReadOnlyFor(controller, namespace)) {
      return failure("namespaceWriteProtected");
    }
  }
  const work = () => run(controller, namespace, call);
  const done = takesMemory(command) ? namespace.turns.run(work, call.signal) : work();
  return done.catch((error) => failure(namespace.statusOf(error, kind)));
}

/** Whether a command reads to memory of its own, here or in its device. */
function takesMemory({ name }: Command): boolean {
  return name === "writeZeroes" || name === "verify" || name === "compare";
}

function changes({ name }: Command): boolean {
  return name === "write" || name === "writeZeroes" || name === "datasetManagement";
}

async function run(controller: Controller, namespace: Namespace, call: Call): Promise<Answer> {
  const { command, data, signal } = call;
  switch (command.name) {
    case "read":
    case "write":
      // The data path has all others; these say nothing of their data.
      return failure("sglInvalidData", at.sglLength);
    case "writeZeroes":
      return writeZeroes(controller, namespace, command, signal);
    case "compare": {
      const range = checkRange(namespace, command.slba, command.nlb);
      return "status" in range ? range : compare(namespace, range, data, signal);
    }
    case "verify": {
      const range = checkRange(namespace, command.slba, command.nlb);
      return "status" in range ? range : verify(namespace, range, signal);
    }
    case "datasetManagement":
      return datasetManagement(namespace, command, data, signal);
    case "reservationRegister":
    case "reservationAcquire":
    case "reservationRelease":
      return reserve(controller, namespace, command, data);
    default:
      return failure("invalidOpcode", offsetOf(command.name, "opc"));
  }
}

/** Flushes one namespace, or all of them. */
async function flush(controller: Controller, { command, signal }: Call): Promise<Answer> {
  const { namespaces } = controller.subsystem;
  const one = namespaces.get(command.nsid);
  if (!one && command.nsid !== broadcastNsid) return failure("invalidNamespace", at.nsid);
  for (const namespace of one ? [one] : [...namespaces.values()]) {
    // Flush is of the write command group, figure 646 of Base 2.1.
    if (!namespace.reservations.allows(controller.host.hostid, "write")) {
      return failure("reservationConflict");
    }
    if (namespace.isReadOnly) continue;
    try {
      await namespace.device.flush({ signal });
    } catch (error) {
      return failure(namespace.statusOf(error, "write"));
    }
  }
  return success();
}

async function writeZeroes(
  controller: Controller,
  namespace: Namespace,
  command: CommandOf<"writeZeroes">,
  signal: AbortSignal,
): Promise<Answer> {
  const range = checkRange(namespace, command.slba, command.nlb);
  if ("status" in range) return range;
  const { offsetBytes, lengthBytes } = range;
  const { device } = namespace;
  await namespace.gate.shared(async () => {
    // What is freed reads as zeros, or as before: zeros are then written where there are none.
    if (command.control.deac) await device.deallocate?.(offsetBytes, lengthBytes, { signal });
    await device.writeZeroes(offsetBytes, lengthBytes, { signal });
  });
  if (command.control.fua || controller.isWriteThrough) await namespace.device.flush();
  return success();
}

/** Compares what is there with `data`. */
export async function compare(
  namespace: Namespace,
  { offsetBytes }: ByteRange,
  data: Uint8Array,
  signal: AbortSignal,
): Promise<Answer> {
  const found = Buffer.allocUnsafe(Math.min(pieceBytes, data.length));
  for (let done = 0; done < data.length; done += found.length) {
    const wanted = data.subarray(done, done + found.length);
    const piece = found.subarray(0, wanted.length);
    await namespace.device.read(offsetBytes + done, piece, { signal });
    if (!piece.equals(wanted)) return failure("compareFailure");
  }
  return success();
}

/** Reads and forgets: an error of the medium shows. */
async function verify(
  namespace: Namespace,
  { offsetBytes, lengthBytes }: ByteRange,
  signal: AbortSignal,
): Promise<Answer> {
  const found = Buffer.allocUnsafe(Math.min(pieceBytes, lengthBytes));
  for (let done = 0; done < lengthBytes; done += found.length) {
    const piece = found.subarray(0, lengthBytes - done);
    await namespace.device.read(offsetBytes + done, piece, { signal });
  }
  return success();
}

/** Deallocates where the device can; the other attributes are hints that are not needed. */
async function datasetManagement(
  namespace: Namespace,
  command: CommandOf<"datasetManagement">,
  data: Uint8Array,
  signal: AbortSignal,
): Promise<Answer> {
  const ranges: ByteRange[] = [];
  for (let index = 0; index < command.nr; index++) {
    const { slba, nlb } = datasetRange.decode(data, index * datasetRange.size);
    if (nlb === 0) continue;
    const range = checkRange(namespace, slba, nlb);
    if ("status" in range) return { ...range, location: { byte: at.dword10, bit: 0 } };
    ranges.push(range);
  }
  const { device, gate } = namespace;
  if (!command.attributes.ad || !device.deallocate) return success();
  await gate.shared(async () => {
    for (const { offsetBytes, lengthBytes } of ranges) {
      await device.deallocate!(offsetBytes, lengthBytes, { signal });
    }
  });
  return success();
}

/** CNTLID of a registrant that has no controller now: they are dynamic. */
const noController = 0xffff;

type ReservationCommand =
  | CommandOf<"reservationRegister">
  | CommandOf<"reservationAcquire">
  | CommandOf<"reservationRelease">;

async function reserve(
  controller: Controller,
  namespace: Namespace,
  command: ReservationCommand,
  data: Uint8Array,
): Promise<Answer> {
  const { hostid } = controller.host;
  // Who reserves must be told apart from others.
  if (/^0*$/.test(hostid)) return failure("hostIdNotSet");
  const { reservations } = namespace;
  const { iekey } = command.action;
  let outcome: ReservationOutcome;
  if (command.name === "reservationRegister") {
    // CPTPL is not looked at: Linux asks for reservations that persist in any case, and RESCAP and
    // PTPLS say that they do not.
    const { rrega } = command.action;
    const { crkey, nrkey } = reservationRegisterData.decode(data);
    outcome = reservations.register(hostid, rrega, iekey, crkey, nrkey);
  } else if (command.name === "reservationAcquire") {
    if (iekey) return failure("invalidField", at.dword10, 3);
    const { crkey, prkey } = reservationAcquireData.decode(data);
    outcome = reservations.acquire(hostid, command.action.racqa, command.rtype, crkey, prkey);
  } else {
    const { crkey } = reservationReleaseData.decode(data);
    outcome = reservations.release(hostid, command.action.rrela, command.rtype, iekey, crkey);
  }
  tell(controller, namespace, outcome);
  await fence(controller, namespace, outcome);
  return outcome.status === "success" ? success() : failure(outcome.status, at.dword10);
}

/**
 * Aborts the commands of hosts that were preempted, and waits for those that their media are at:
 * who preempts and aborts may write at once, and nothing of theirs comes after it.
 */
async function fence(
  controller: Controller,
  { nsid }: Namespace,
  { abortHosts }: ReservationOutcome,
): Promise<void> {
  const { controllers, leftovers } = controller.subsystem;
  const fenced = [...controllers.values()].filter(({ host }) => abortHosts.includes(host.hostid));
  for (const other of fenced) other.abortNamespace(nsid, "preempted");
  const left = abortHosts.flatMap((hostid) => [...(leftovers.get(hostid) ?? [])]);
  await Promise.all([...left, ...fenced.map((other) => other.settled())]);
}

/** Tells the hosts concerned. */
function tell(controller: Controller, { nsid }: Namespace, outcome: ReservationOutcome): void {
  for (const other of controller.subsystem.controllers.values()) {
    for (const { type, hosts } of outcome.notices) {
      if (hosts.includes(other.host.hostid)) other.noteReservation(type, nsid);
    }
  }
}

function report(
  controller: Controller,
  limits: TargetLimits,
  namespace: Namespace,
  command: CommandOf<"reservationReport">,
): Answer {
  // Hosts over fabrics have long identifiers, which only the extended structure can hold.
  if (!command.structure.eds)
    return failure("hostIdFormat", offsetOf("reservationReport", "structure"));
  const lengthBytes = command.numd * 4;
  if (lengthBytes > limits.transferBytesMax) return failure("invalidField", at.dword10);
  const controllers = [...controller.subsystem.controllers.values()];
  const cntlidOf = (hostid: string) =>
    controllers.find(({ host }) => host.hostid === hostid)?.cntlid ?? noController;
  const status = encodeReservationStatus(namespace.reservations.report(cntlidOf));
  const data = new Uint8Array(lengthBytes);
  data.set(status.subarray(0, lengthBytes));
  return { ...success(), data };
}
