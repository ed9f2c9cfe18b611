/** Every maximum and time-out of a target, with what it is unless told. */

/** Sizes, counts and times that bound what hosts can make a target do. */
export interface TargetLimits {
  /** Longest read or write in bytes (MDTS): 4096 times a power of two. */
  readonly transferBytesMax: number;
  /** In-capsule data of I/O commands; a multiple of 16. Longer writes wait for an R2T. */
  readonly capsuleDataBytesMax: number;
  /** Entries of an I/O queue (CAP.MQES as a count). */
  readonly queueEntriesMax: number;
  /** I/O queues of one controller. */
  readonly ioQueuesMax: number;
  /** Connections of all hosts together; further ones are closed at once. */
  readonly connectionsMax: number;
  /** Connections that have not finished Connect; a further one ends the oldest, unless it is young. */
  readonly halfOpenMax: number;
  /** The same with young ones; a further one ends the oldest in any case. */
  readonly halfOpenBurstMax: number;
  /** Controllers of one subsystem. */
  readonly controllersMax: number;
  /** Those of them that one host may have. */
  readonly hostControllersMax: number;
  /**
   * Memory for data that waits for a host or a medium, all connections together. One host has at
   * most half of it.
   */
  readonly bytesInFlightMax: number;
  /** The same for one connection. */
  readonly connectionBytesInFlightMax: number;
  /** How long a connection may take up to a finished Connect. */
  readonly halfOpenMs: number;
  /** How long a host may leave what is sent to it untaken. */
  readonly stallMs: number;
  /** The same for a host that holds memory; and how long data that was asked for may stay away. */
  readonly holdMs: number;
  /** Keep Alive Timeout for discovery controllers whose host asks for none. */
  readonly discoveryKatoMs: number;
}

/** The limits unless told otherwise. */
export const defaultLimits: TargetLimits = {
  transferBytesMax: 1024 * 1024,
  capsuleDataBytesMax: 16 * 1024,
  queueEntriesMax: 128,
  ioQueuesMax: 128,
  connectionsMax: 2048,
  halfOpenMax: 128,
  halfOpenBurstMax: 1024,
  controllersMax: 512,
  hostControllersMax: 128,
  bytesInFlightMax: 16 * 1024 * 1024,
  connectionBytesInFlightMax: 4 * 1024 * 1024,
  halfOpenMs: 10_000,
  stallMs: 60_000,
  holdMs: 10_000,
  discoveryKatoMs: 120_000,
};

/** What each limit has to be, beside at least 1, where a host is told of it. */
const rules: readonly (readonly [keyof TargetLimits, string, (value: number) => boolean])[] = [
  [
    "transferBytesMax",
    "4096 times a power of two",
    (value) => value >= 4096 && Number.isInteger(Math.log2(value)),
  ],
  ["capsuleDataBytesMax", "a multiple of 16", (value) => value % 16 === 0],
  ["queueEntriesMax", "from 2 to 65535", (value) => value >= 2 && value <= 65535],
  ["ioQueuesMax", "up to 65534", (value) => value <= 65534],
];

/** @throws RangeError that names a limit that cannot be, and what it may be. */
export function checkLimits(limits: TargetLimits): void {
  for (const [name, value] of Object.entries(limits)) {
    const rule = rules.find(([of]) => of === name);
    const least = name === "capsuleDataBytesMax" ? 0 : 1;
    const fits = Number.isSafeInteger(value) && value >= least && (rule?.[2](value) ?? true);
    if (fits) continue;
    const wanted = rule?.[1] ?? "a whole number, 1 or more";
    throw new RangeError(`Cannot make a target with ${name} ${value}: it has to be ${wanted}.`);
  }
}

/** Entries of the admin queue that a host may ask for. */
export const adminQueueEntriesMax = 128;
/** Asynchronous Event Requests held (AERL as a count). */
export const asyncEventsMax = 4;
/** Entries of the Error Information log (ELPE as a count). */
export const errorLogEntriesMax = 128;
/** Abort commands under way (ACL as a count). */
export const abortsMax = 4;
/** What the Keep Alive Timer counts in (KAS), in milliseconds. */
export const keepAliveUnitMs = 1000;
/** Namespaces of a subsystem (NN). */
export const namespacesMax = 1024;
/** Longest log page or other answer that is put together in memory. */
export const answerBytesMax = 1024 * 1024;
