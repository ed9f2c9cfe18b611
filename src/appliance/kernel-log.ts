/** A record of /dev/kmsg: `6,339,5140900,-;text`, then lines of properties. */

/** Priorities up to this one tell of something wrong: error and worse. */
const priorityMax = 3;
const aboutTarget = /^(?:nvmet|nvmet_tcp|configfs)[:\s]/;

/**
 * What the target says of hosts that it refused (core.c, fabrics-cmd-auth.c of 6.12). A grant that is
 * over has no subsystem any more.
 */
const aboutRefusal =
  /not allowed$|invalid subsystem|mismatch|authentication failed|no (?:host|ctrl) key|challenge error/;

/** tlshd writes there too: the kernel leaves TLS handshakes to it. */
const aboutHandshake = /^(?:tlshd\[\d+\]: )+Handshake with .* failed/;

/** The text of a record that tells of an error of the target, else null. */
export function parseKernelRecord(record: string): string | null {
  const at = record.indexOf(";");
  const priority = /^(\d+),/.exec(record);
  if (at < 0 || priority === null || Number(priority[1]) % 8 > priorityMax) return null;
  const text = record
    .slice(at + 1)
    .split("\n")[0]!
    .trim();
  return aboutTarget.test(text) ? text : null;
}

/** The text of a line, as dmesg shows it, that tells of a host that the target refused, else null. */
export function parseRefusal(line: string): string | null {
  const text = line.trim();
  const isRefusal = aboutTarget.test(text) && aboutRefusal.test(text);
  return isRefusal || aboutHandshake.test(text) ? text : null;
}
