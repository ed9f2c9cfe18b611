/**
 * The disks that are open on a controller, and how they follow what becomes of their namespaces: a
 * new size, nothing there any more, or another disk in their place, which must not be touched.
 */

import type { ControllerEvent } from "./controller-event.ts";
import type { DiskLimits } from "./disk-commands.ts";
import { InitiatorError, type InitiatorErrorCode } from "./error.ts";
import {
  identityDifference,
  isUnknownNamespace,
  type NamespaceInfo,
  type SeenNamespace,
} from "./namespace.ts";
import type { RemoteDisk } from "./remote-disk.ts";

/** What the controller says of a disk's namespace now. */
export interface Sighting extends SeenNamespace {
  readonly limits: DiskLimits;
}

/** All open disks of one controller. */
export class OpenDisks {
  /** Each disk as it was when it was opened, its size aside. */
  readonly #disks = new Map<RemoteDisk, SeenNamespace>();
  /** Disks that the controller said nothing of when it was asked last, for reasons that may pass. */
  readonly #unclear = new Set<RemoteDisk>();
  readonly #peer: string;
  readonly #emit: (event: ControllerEvent) => void;

  constructor(peer: string, emit: (event: ControllerEvent) => void) {
    this.#peer = peer;
    this.#emit = emit;
  }

  add(disk: RemoteDisk, opened: SeenNamespace): void {
    this.#disks.set(disk, opened);
  }

  delete(disk: RemoteDisk): void {
    this.#disks.delete(disk);
    this.#unclear.delete(disk);
  }

  /** Namespaces to look at again later: the controller answered with a status when asked for them. */
  get unclear(): readonly number[] {
    return [...this.#unclear].map((disk) => disk.info.nsid);
  }

  [Symbol.iterator](): IterableIterator<RemoteDisk> {
    return this.#disks.keys();
  }

  /**
   * Looks at the namespaces of all disks, or of those with an id in `nsids`. One that cannot be
   * looked at is excluded by itself: the others go on.
   * @throws What `look` throws where that is the end of the connection.
   */
  async follow(
    look: (nsid: number) => Promise<Sighting>,
    nsids?: readonly number[],
  ): Promise<void> {
    for (const [disk, opened] of this.#disks) {
      const { nsid } = disk.info;
      if (nsids && !nsids.includes(nsid)) continue;
      this.#unclear.delete(disk);
      try {
        this.#update(disk, opened, await look(nsid));
      } catch (error) {
        if (!isUnusable(error)) throw error;
        const isUnclear = error.code === "status" && !isUnknownNamespace(error);
        // It may have been disposed of meanwhile.
        if (isUnclear && this.#disks.has(disk)) this.#unclear.add(disk);
        this.#exclude(disk, isUnclear ? this.#unclearError(nsid, error) : error);
      }
    }
  }

  #update(disk: RemoteDisk, opened: SeenNamespace, now: Sighting): void {
    const { sizeBytes, nsid } = disk.info;
    const before = { info: { ...opened.info, sizeBytes }, serial: opened.serial };
    const difference = identityDifference(before, now);
    if (difference !== undefined) {
      this.#exclude(disk, this.#replacedError(now.info, difference));
      return;
    }
    const wasExcluded = disk.fault !== undefined;
    disk.update(now.info, now.limits);
    if (wasExcluded && disk.fault === undefined) this.#emit({ type: "namespace-back", nsid });
    if (disk.sizeBytes !== sizeBytes) {
      this.#emit({ type: "namespace-resized", nsid, sizeBytes: disk.sizeBytes });
    }
  }

  #exclude(disk: RemoteDisk, error: InitiatorError): void {
    const isNews = disk.fault?.code !== error.code && disk.fault?.code !== "namespace-replaced";
    disk.exclude(error);
    if (isNews) this.#emit({ type: "namespace-lost", nsid: disk.info.nsid, error });
  }

  #unclearError(nsid: number, cause: InitiatorError): InitiatorError {
    const what = `Namespace ${nsid} of ${this.#peer} is out of reach`;
    const message = `${what}: ${cause.message} It is looked at again every few seconds.`;
    return new InitiatorError("no-namespace", message, { peer: this.#peer, nsid }, { cause });
  }

  #replacedError({ nsid }: NamespaceInfo, difference: string): InitiatorError {
    const message =
      `Namespace ${nsid} of ${this.#peer} is not the one that was opened: ${difference}. ` +
      "Nothing is read from it or written to it; open it anew if it is the one that is meant.";
    return new InitiatorError("namespace-replaced", message, { peer: this.#peer, nsid });
  }
}

const unusableCodes: ReadonlySet<InitiatorErrorCode> = new Set([
  "no-namespace",
  "status",
  "protocol",
  "unsupported",
]);

/** True for what is wrong with a namespace, and not with the connection to its controller. */
function isUnusable(error: unknown): error is InitiatorError {
  if (!(error instanceof InitiatorError)) return false;
  return unusableCodes.has(error.code);
}
