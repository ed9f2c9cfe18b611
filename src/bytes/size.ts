/** Sizes and rates as people read them. */

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const;
const unitBytes = 1024;
/** What would be rounded to a whole next unit is one. */
const roundedBytes = unitBytes - 0.05;

/** In binary units, as everything that is partitioned is counted: `20.0 GiB`; whole bytes below 1 KiB. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= (unit === 0 ? unitBytes : roundedBytes) && unit < units.length - 1) {
    value /= unitBytes;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `412.0 MiB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(Math.round(bytesPerSecond))}/s`;
}
