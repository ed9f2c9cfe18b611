/** Checked conversions between the sizes and offsets of the wire and those of JavaScript. */

/**
 * A 64-bit byte count or offset as a number.
 * @throws RangeError above 2^53 − 1, which no buffer, file or disk that we can address reaches.
 */
export function toNumber(value: bigint): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`${value} is outside the range of exact numbers.`);
  }
  return Number(value);
}

/** `value` rounded up to the next multiple of `multiple`; both are whole and not negative. */
export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Length of the padding after `length` bytes up to the next multiple of `multiple`. */
export function paddingOf(length: number, multiple: number): number {
  return roundUp(length, multiple) - length;
}
