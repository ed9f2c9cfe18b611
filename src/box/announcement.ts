/**
 * What is announced on the network: multicast DNS packets become boxes and discovery controllers.
 * DNS-SD (RFC 6763) over multicast DNS (RFC 6762); `_nvme-disc._tcp` is TP8009's. Nothing that is
 * announced is proven: the SSH host key of a box is what counts.
 */

import { type Answer, decode, encode, type Question, type StringAnswer } from "dns-packet";

/** What boxes of ours announce. */
export const boxService = "_diskomator._tcp.local";
/** What any NVMe discovery controller announces. */
export const discoveryService = "_nvme-disc._tcp.local";
/** Longest packet (RFC 6762, section 17). */
export const packetBytesMax = 9000;

/** Something announced, and where. */
export interface Sighting {
  readonly kind: "box" | "discovery";
  /** The instance's name: that of the box. */
  readonly name: string;
  /** TCP port: of SSH for a box. */
  readonly port: number;
  /** IPv4 first; link-local IPv6 addresses with the interface of this machine: `fe80::1%eth0`. */
  readonly addresses: readonly string[];
  /** The TXT record, keys in lower case. */
  readonly text: ReadonlyMap<string, string>;
}

/** Where a packet came from. */
export interface Source {
  /** Interface of this machine; null where that is not known. */
  readonly interfaceName: string | null;
}

/** Bounds of what is remembered: what comes is from anybody. */
const instancesMax = 256;
const hostsMax = 256;
const addressesMax = 16;
const textKeysMax = 32;
const textLengthMax = 512;

interface Instance {
  readonly kind: Sighting["kind"];
  readonly name: string;
  service: { readonly host: string; readonly port: number } | null;
  text: ReadonlyMap<string, string> | null;
}

/** Gathers announcements. */
export class Announcements {
  readonly #instances = new Map<string, Instance>();
  readonly #hosts = new Map<string, Set<string>>();

  /** Takes a packet; one that makes no sense, or is no answer, changes nothing. */
  receive(packet: Uint8Array, source: Source): void {
    if (packet.length > packetBytesMax) return;
    let message: ReturnType<typeof decode>;
    try {
      message = decode(Buffer.from(packet));
    } catch {
      return;
    }
    if (message.type !== "response") return;
    const records = [...(message.answers ?? []), ...(message.additionals ?? [])];
    for (const record of records) if (record.type === "PTR") this.#takePointer(record);
    for (const record of records) this.#takeRecord(record, source);
  }

  /** What is announced as far as its port and an address are known, by name. */
  get sightings(): readonly Sighting[] {
    return [...this.#instances.values()]
      .flatMap(({ kind, name, service, text }) => {
        const addresses = service && this.#hosts.get(service.host);
        if (!service || !addresses || addresses.size === 0) return [];
        const sorted = [...addresses].toSorted((a, b) => rank(a) - rank(b));
        const { port } = service;
        return [{ kind, name, port, addresses: sorted, text: text ?? new Map() }];
      })
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Asks for both services, and for what is lacking of those that were announced. */
  query(): Uint8Array {
    const questions: Question[] = [
      { type: "PTR", name: boxService },
      { type: "PTR", name: discoveryService },
    ];
    for (const [key, { service, text }] of this.#instances) {
      if (service === null) questions.push({ type: "SRV", name: key });
      if (text === null) questions.push({ type: "TXT", name: key });
      if (service !== null && !this.#hosts.get(service.host)?.size) {
        questions.push({ type: "A", name: service.host }, { type: "AAAA", name: service.host });
      }
    }
    const askable = questions.filter(({ name }) => isAskable(name)).slice(0, questionsMax);
    return encode({ type: "query", id: 0, flags: 0, questions: askable });
  }

  #takePointer({ name, ttl, data }: StringAnswer): void {
    const service = name.toLowerCase();
    const kind = kinds.get(service);
    const key = data.toLowerCase();
    if (kind === undefined || !key.endsWith(`.${service}`)) return;
    if (ttl === 0) {
      this.#instances.delete(key);
    } else if (!this.#instances.has(key) && this.#instances.size < instancesMax) {
      const shown = printable(data.slice(0, -service.length - 1));
      if (kind === "box" && !boxName.test(shown)) return;
      this.#instances.set(key, { kind, name: shown, service: null, text: null });
    }
  }

  #takeRecord(record: Answer, source: Source): void {
    const key = record.name.toLowerCase();
    const instance = this.#instances.get(key);
    if (record.type === "SRV" && instance && record.ttl !== 0) {
      const { target, port } = record.data;
      if (port > 0) instance.service = { host: target.toLowerCase(), port };
    } else if (record.type === "TXT" && instance && record.ttl !== 0) {
      instance.text = readText(record.data);
    } else if (record.type === "A" && record.ttl !== 0) {
      this.#addAddress(key, record.data);
    } else if (record.type === "AAAA" && record.ttl !== 0) {
      const address = scoped(record.data, source);
      if (address !== null) this.#addAddress(key, address);
    }
  }

  #addAddress(host: string, address: string): void {
    const known = this.#hosts.get(host) ?? new Set();
    if (known.size < addressesMax) known.add(address);
    if (!this.#hosts.has(host) && this.#hosts.size >= hostsMax) this.#forgetHost();
    if (this.#hosts.has(host) || this.#hosts.size < hostsMax) this.#hosts.set(host, known);
  }

  /** Of the hosts of a large network, few are boxes: the oldest that is none gives way. */
  #forgetHost(): void {
    const wanted = new Set([...this.#instances.values()].map(({ service }) => service?.host));
    const other = [...this.#hosts.keys()].find((host) => !wanted.has(host));
    if (other !== undefined) this.#hosts.delete(other);
  }
}

const questionsMax = 64;
/** Of a label, and of a name (RFC 1035, section 2.3.4). */
const labelBytesMax = 63;
const nameBytesMax = 253;

/**
 * Whether a name that somebody announced is one when it is written again: bytes that are no UTF-8 have
 * become longer, and nobody could read a packet with it, nor what else it asks.
 */
function isAskable(name: string): boolean {
  const labels = name.split(".").map((label) => Buffer.byteLength(label));
  const isWhole = labels.every((length) => length > 0 && length <= labelBytesMax);
  return isWhole && Buffer.byteLength(name) <= nameBytesMax;
}

/** Two or three words. */
const boxName = /^[a-z0-9]+(?:-[a-z0-9]+)*$/i;
const kinds: ReadonlyMap<string, Sighting["kind"]> = new Map([
  [boxService, "box"],
  [discoveryService, "discovery"],
]);

/** A link-local address means nothing without the interface behind which it is. */
function scoped(address: string, { interfaceName }: Source): string | null {
  if (!/^fe[89ab]/i.test(address)) return address;
  return interfaceName === null ? null : `${address}%${interfaceName}`;
}

/** What is tried first: addresses that need no scope, IPv4 before IPv6. */
function rank(address: string): number {
  if (!address.includes(":")) return 0;
  return address.includes("%") ? 2 : 1;
}

/** `key=value` strings (RFC 6763, section 6); the first of each key counts. */
function readText(data: unknown): ReadonlyMap<string, string> {
  const strings: readonly unknown[] = Array.isArray(data) ? data : [data];
  const found = new Map<string, string>();
  for (const item of strings.slice(0, textKeysMax)) {
    const text = item instanceof Uint8Array ? Buffer.from(item).toString("utf8") : String(item);
    const [, key, value] = /^([^=]+)(?:=(.*))?$/s.exec(text) ?? [];
    const name = key?.toLowerCase();
    if (name === undefined || found.has(name)) continue;
    found.set(name, printable(value ?? "").slice(0, textLengthMax));
  }
  return found;
}

/** What comes from anybody is shown without control characters. */
function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}
