/** What the daemon writes to the journal: events of a closed list, with their facts. */

/** Everything that is logged. */
export type LogEvent =
  | "started"
  | "adopted"
  | "exported"
  | "resized"
  | "removed"
  | "failed"
  | "port-ready"
  | "problem"
  | "granted"
  | "revoked"
  | "expired"
  /** The session that a grant hangs on has ended. */
  | "orphaned"
  | "host-connected"
  | "host-refused"
  | "call"
  | "session"
  | "kernel"
  | "withdrawn"
  | "offered"
  | "announced"
  | "let-in"
  | "blink"
  | "going"
  | "run-returned"
  | "stopping"
  | "torn-down";

/** Values of a log line; never a secret. */
export type LogFields = Readonly<Record<string, string | number | null>>;

/** Where log lines go. */
export type Log = (event: LogEvent, fields: LogFields) => void;

/** One line: the event and its fields as `name=value`, quoted where a blank would split them. */
export function formatLogLine(event: LogEvent, fields: LogFields): string {
  const words = Object.entries(fields).map(([name, value]) => {
    // Names of hosts are what strangers say; the journal shows no line with control characters.
    const text = String(value ?? "-").replace(/[^\P{C}\n\t]/gu, "?");
    return `${name}=${/[\s"=]/.test(text) || text === "" ? JSON.stringify(text) : text}`;
  });
  return [event, ...words].join(" ");
}
