/** A record of /dev/kmsg: `6,339,5140900,-;text`, then lines of properties. */

/** Priorities up to this one tell of something wrong: error and worse. */
const priorityMax = 3;
const aboutTarget = /^(?:nvmet|nvmet_tcp|configfs)[:\s]/;

/** What the target says of hosts that it refused (core.c, fabrics-cmd-auth.c of 6.12). */
const aboutRefusal =
  /not allowed$|mismatch|authentication failed|no (?:host|ctrl) key|challenge error/;

/** The text of a record that tells of an error of the target, else null. */
export function parseKernelRecord(record: string): string | null {
  const found = readRecord(record);
  return found !== null && found.priority <= priorityMax ? found.text : null;
}

/** The text of a record that tells of a host that the target refused, else null. */
export function parseRefusal(record: string): string | null {
  const found = readRecord(record);
  return found !== null && aboutRefusal.test(found.text) ? found.text : null;
}

/** A record about the target. */
function readRecord(record: string): { readonly priority: number; readonly text: string } | null {
  const at = record.indexOf(";");
  const priority = /^(\d+),/.exec(record);
  if (at < 0 || priority === null) {
    return null;
  }
  const text = record
    .slice(at + 1)
    .split("\n")[0]!
    .trim();
  return aboutTarget.test(text) ? { priority: Number(priority[1]) % 8, text } : null;
}
