/**
 * How the system's ssh is called for a box, and what its complaints mean. The user's own
 * configuration and known hosts take no part: a box's host key is known by the image's builder.
 */

import { BoxError } from "./error.ts";

/** Whom to talk to, and by what we know each other. */
export interface SshTarget {
  /** As messages call it. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Name under which the host key is looked up. */
  readonly hostKeyAlias: string;
  /** Private keys to try, beside those of the agent. */
  readonly identities: readonly string[];
  /** Files of host keys; what is new is written to the first. */
  readonly knownHosts: readonly string[];
  /** Whether a box whose key nobody knows is believed, and its key remembered. */
  readonly isNewKeyAccepted: boolean;
  /** Whether nothing passes that has to stay secret for as long as disks do. */
  readonly isForLooking: boolean;
  readonly connectTimeoutSeconds: number;
}

/** A server lets a client try about six keys. */
const identitiesMax = 5;
/** The connection counts as lost when nothing came for the product of both. */
const aliveIntervalSeconds = 10;
const aliveCountMax = 3;

/**
 * Arguments for ssh.
 * @param what a subsystem; or a login, with a command or without
 */
export function sshArguments(
  target: SshTarget,
  what:
    | { readonly subsystem: string }
    | { readonly login: readonly string[]; readonly isTerminal: boolean },
): string[] {
  const options: Readonly<Record<string, string>> = {
    User: "root",
    Port: String(target.port),
    HostKeyAlias: target.hostKeyAlias,
    UserKnownHostsFile: target.knownHosts.map(quoted).join(" "),
    GlobalKnownHostsFile: "/dev/null",
    StrictHostKeyChecking: target.isNewKeyAccepted ? "accept-new" : "yes",
    CheckHostIP: "no",
    HashKnownHosts: "no",
    UpdateHostKeys: "no",
    PreferredAuthentications: "publickey",
    // Without a terminal nobody is there to be asked for a passphrase.
    BatchMode: "isTerminal" in what && what.isTerminal ? "no" : "yes",
    ConnectTimeout: String(target.connectTimeoutSeconds),
    ServerAliveInterval: String(aliveIntervalSeconds),
    ServerAliveCountMax: String(aliveCountMax),
    ControlPath: "none",
    ForwardAgent: "no",
    ClearAllForwardings: "yes",
    // `SshWords` reads when it is connected.
    LogLevel: "subsystem" in what ? "DEBUG1" : "ERROR",
    // What withstands quantum computers costs a box that is emulated as much as the rest of a login.
    ...(target.isForLooking ? { KexAlgorithms: "^curve25519-sha256" } : {}),
  };
  const args = ["-F", "none"];
  for (const [name, value] of Object.entries(options)) args.push(`-o${name}=${value}`);
  for (const path of target.identities.slice(0, identitiesMax)) args.push("-i", path);
  if ("subsystem" in what) {
    return [...args, "-T", "-s", "--", target.address, what.subsystem];
  }
  const terminal = what.isTerminal ? "-t" : "-T";
  return [...args, terminal, "--", target.address, ...what.login];
}

/** A path as ssh's configuration takes it, where spaces and `%` mean something. */
function quoted(path: string): string {
  return `"${path.replaceAll("%", "%%").replaceAll('"', '\\"')}"`;
}

/** Of what ssh complains of the last characters are kept. */
const complaintLengthMax = 8192;
/** What ssh says of its own accord at this level, on its way. */
const chatter =
  /^(?:debug\d: |OpenSSH_|Authenticated to |Authenticating to |Transferred: |Bytes per second: |Warning: Permanently added )/;

/** What ssh says, as it says it. */
export class SshWords {
  #rest = "";
  #complaints = "";
  #isConnected = false;

  /** Takes some more, cut anywhere. */
  add(text: string): void {
    const lines = (this.#rest + text).split(/\r?\n/);
    this.#rest = (lines.pop() ?? "").slice(-complaintLengthMax);
    for (const line of lines) {
      if (line.startsWith("debug1: Connection established")) this.#isConnected = true;
      if (!chatter.test(line)) this.#complaints += `${line}\n`;
    }
    this.#complaints = this.#complaints.slice(-complaintLengthMax);
  }

  /** Whether the box has accepted the connection. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** What is wrong. */
  get complaints(): string {
    return chatter.test(this.#rest) ? this.#complaints : this.#complaints + this.#rest;
  }
}

interface Complaint {
  readonly pattern: RegExp;
  readonly code: "host-key" | "not-ours" | "unreachable" | "timeout" | "no-channel";
  readonly say: (target: SshTarget, found: string, lines: readonly string[]) => string;
}

/** In this order: ssh says several things at once, the first that fits is the cause. */
const complaints: readonly Complaint[] = [
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed/i,
    code: "host-key",
    say: ({ name, address, port, hostKeyAlias, knownHosts, isNewKeyAccepted }) =>
      `Refusing to talk to ${name} at ${address}: its host key is not the one that is known. ` +
      "Either it runs an image that was built on another machine or by somebody else, or another " +
      "machine answers in its place; in that case it would get what you write. If you know why, " +
      (isNewKeyAccepted
        ? `remove the line of ${hostKeyAlias} from ${knownHosts[0]} and try again.`
        : `put its key (ssh-keyscan -p ${port} ${address}) into ${knownHosts[0]}, as a line that ` +
          `begins with ${hostKeyAlias}, and try again.`),
  },
  {
    pattern: /Host key verification failed|No .* host key is known/i,
    code: "host-key",
    say: ({ name, address }) =>
      `Refusing to talk to ${name} at ${address}: its host key is not known. It was not booted ` +
      'from an image that this user has built. Build one with "diskomator build" and boot it, or ' +
      "work as the user who built this one.",
  },
  {
    pattern: /Permission denied|Too many authentication failures/i,
    code: "not-ours",
    say: ({ name, address }, _found, lines) => {
      const unused = lines.filter((line) => line.startsWith("Load key "));
      if (unused.length > 0) {
        return (
          `The box ${name} at ${address} lets none of your SSH keys in, and ssh did not try all: ` +
          `${unused.join("; ")}. A key has to be whole, and readable by you alone (chmod 600).`
        );
      }
      return (
        `The box ${name} at ${address} lets none of your SSH keys in: its image was built with ` +
        'others. Build the image with your key ("diskomator build --ssh-key FILE") and boot it. ' +
        "A key with a passphrase has to be in the agent (ssh-add)."
      );
    },
  },
  {
    pattern: /subsystem request failed/i,
    code: "no-channel",
    say: ({ name, address }) =>
      `${name} at ${address} lets you in but has no control channel: it is no Diskomator, or an ` +
      "older one. Boot it from an image of this version.",
  },
  {
    pattern:
      /no matching .* found|no mutual signature|Protocol major versions differ|Invalid key length/i,
    code: "not-ours",
    say: ({ name, address }, found) =>
      `What answers at ${address} is not the box ${name}, but another system: it and this ssh have ` +
      `no way of talking in common (${found}). Check the address, or boot the box again.`,
  },
  {
    pattern: /timed out/i,
    code: "timeout",
    say: ({ name, address, port, connectTimeoutSeconds }) =>
      `Cannot reach ${name}: ${address} port ${port} did not answer within ` +
      `${connectTimeoutSeconds} s. Check that it is on, and its address.`,
  },
  {
    pattern: /Connection refused|No route|unreachable|Could not resolve|Name or service not known/i,
    code: "unreachable",
    say: ({ name, address, port }, found) =>
      `Cannot reach ${name} at ${address} port ${port}: ${found}. Check that it is on, and its ` +
      "address.",
  },
];

/** What it means that ssh ended before the box had answered. */
export function sshError(target: SshTarget, stderr: string, code: number | null): BoxError {
  const lines = stderr.split(/\r?\n/).filter((line) => line.trim() !== "");
  const facts = { box: target.name, address: target.address, port: target.port, ssh: stderr };
  for (const { pattern, code: meaning, say } of complaints) {
    const line = lines.find((candidate) => pattern.test(candidate));
    if (line === undefined) continue;
    const found = line.replace(/^.*: /, "").replace(/\.?\r?$/, "");
    return new BoxError(meaning, say(target, found, lines), facts);
  }
  const last = lines.at(-1)?.trim() ?? `it ended with ${code ?? "a signal"} and said nothing`;
  return new BoxError(
    "unreachable",
    `The connection to ${target.name} at ${target.address} port ${target.port} ended: ${last}`,
    facts,
  );
}
