/** Every bound of the control channel. */

/** A request in bytes, its line break not counted. */
export const requestBytesMax = 64 * 1024;
/** An answer in bytes: the disks of a large machine with all that lies on them. */
export const answerBytesMax = 8 * 1024 * 1024;
/** Requests of one session that are being served; more of them are not read until one is done. */
export const inFlightMax = 16;
/** Of these, such as stream; fewer, so that `cancel` always finds room. */
export const streamsMax = 8;
/** Lines that make no sense, after which a session ends. */
export const malformedMax = 16;
/** Sessions that are open at once. */
export const sessionsMax = 16;
/** A session in which nothing is asked and nothing streams ends after this long. */
export const idleMs = 15 * 60 * 1000;
/** Longest time of a grant: thirty days. */
export const grantSecondsMax = 30 * 24 * 3600;
/** How long a grant lives on that was asked for until its session ends. */
export const orphanGraceSeconds = 15;
/** Grants that are alive at once. */
export const grantsMax = 128;
/** Disks that one grant may name. */
export const grantDisksMax = 64;
/** Ranges that one `hash` may name. */
export const hashRangesMax = 1024;
/** Smallest and largest unit of `hash`, in bytes. */
export const hashUnitBytesMin = 4096;
export const hashUnitBytesMax = 64 * 1024 * 1024;
/** Calls of `hash` over more than a little that run at once: each takes all processors. */
export const hashesMax = 8;
/** Digests in one item of a `hash` stream. */
export const hashItemUnitsMax = 1024;
