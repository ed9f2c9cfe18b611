/** A record of /dev/kmsg: `6,339,5140900,-;text`, then lines of properties. */

/** Priorities up to this one tell of something wrong: error and worse. */
const priorityMax = 3;
const aboutTarget = /^(?:nvmet|nvmet_tcp|configfs)[:\s]/;

/** The text of a record that tells of an error of the target, else null. */
export function parseKernelRecord(record: string): string | null {
  const at = record.indexOf(";");
  const priority = /^(\d+),/.exec(record);
  if (at < 0 || priority === null) {
    return null;
  }
  const text = record
    .slice(at + 1)
    .split("\n")[0]!
    .trim();
  const level = Number(priority[1]) % 8;
  return level <= priorityMax && aboutTarget.test(text) ? text : null;
}
