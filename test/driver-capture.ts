/** Conversations over loopback, recorded by a relay and written as a packet capture for tshark. */

import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { promisify } from "node:util";

/** Bytes that one end sent, in the order in which all of them came by. */
export interface Piece {
  /** Number of the connection, from 0 on. */
  readonly connection: number;
  readonly isFromHost: boolean;
  readonly bytes: Uint8Array;
}

/** A relay to `port` of loopback that keeps what passes. */
export class Recorder implements AsyncDisposable {
  readonly pieces: Piece[] = [];
  readonly port: number;
  readonly #close: () => Promise<void>;

  /** Listens on a free port. */
  static async of(port: number): Promise<Recorder> {
    const sockets = new Set<Socket>();
    let connections = 0;
    let recorder: Recorder | undefined;
    const server = createServer((host) => {
      const connection = connections++;
      const target = connect({ host: "127.0.0.1", port });
      for (const [from, to] of [
        [host, target],
        [target, host],
      ] as const) {
        sockets.add(from);
        from.on("data", (bytes) => {
          recorder?.pieces.push({ connection, isFromHost: from === host, bytes });
          to.write(bytes);
        });
        from.on("end", () => to.end());
        from.on("error", () => to.destroy());
        from.on("close", () => sockets.delete(from));
      }
    });
    server.listen({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    const address = server.address();
    recorder = new Recorder(typeof address === "object" && address ? address.port : 0, async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    });
    return recorder;
  }

  private constructor(port: number, close: () => Promise<void>) {
    this.port = port;
    this.#close = close;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}

/** The port that targets have in captures. */
const capturedPort = 4420;
/** LINKTYPE_RAW: packets begin with their IP header. */
const linkRaw = 101;
const packetBytesMax = 65_535;
const payloadBytesMax = 32 * 1024;
const ipBytes = 20;
const tcpBytes = 20;
const protocolTcp = 6;
const flags = { syn: 0x02, push: 0x08, ack: 0x10 } as const;

/** A capture in the classic format of libpcap; checksums are zero, which tshark does not check. */
export function encodeCapture(pieces: readonly Piece[]): Buffer {
  const file = Buffer.alloc(24);
  file.writeUInt32LE(0xa1b2c3d4, 0);
  file.writeUInt16LE(2, 4);
  file.writeUInt16LE(4, 6);
  file.writeUInt32LE(packetBytesMax, 16);
  file.writeUInt32LE(linkRaw, 20);
  const out = [file];
  const sent = new Map<string, number>();
  const sentBy = (connection: number, isHost: boolean) => sent.get(`${connection}${isHost}`) ?? 0;
  const add = (piece: Piece, tcpFlags: number) => {
    const { connection, isFromHost, bytes } = piece;
    const sequence = sentBy(connection, isFromHost);
    const packet = encodePacket(piece, tcpFlags, sequence, sentBy(connection, !isFromHost));
    const record = Buffer.alloc(16);
    record.writeUInt32LE(out.length, 0);
    record.writeUInt32LE(packet.length, 8);
    record.writeUInt32LE(packet.length, 12);
    out.push(Buffer.concat([record, packet]));
    const isSyn = (tcpFlags & flags.syn) !== 0;
    sent.set(`${connection}${isFromHost}`, sequence + (isSyn ? 1 : bytes.length));
  };
  for (const { connection, isFromHost, bytes } of pieces) {
    const nothing = new Uint8Array(0);
    if (!sent.has(`${connection}true`)) {
      add({ connection, isFromHost: true, bytes: nothing }, flags.syn);
      add({ connection, isFromHost: false, bytes: nothing }, flags.syn + flags.ack);
    }
    for (let at = 0; at < bytes.length; at += payloadBytesMax) {
      const part = bytes.subarray(at, at + payloadBytesMax);
      add({ connection, isFromHost, bytes: part }, flags.push + flags.ack);
    }
  }
  return Buffer.concat(out);
}

function encodePacket(
  { connection, isFromHost, bytes }: Piece,
  tcpFlags: number,
  sequence: number,
  acknowledged: number,
): Buffer {
  const packet = Buffer.alloc(ipBytes + tcpBytes + bytes.length);
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet[8] = 64;
  packet[9] = protocolTcp;
  const ports = [50_000 + connection, capturedPort];
  const hosts = [0x0a000001, 0x0a000002];
  if (!isFromHost) for (const pair of [ports, hosts]) pair.reverse();
  packet.writeUInt32BE(hosts[0]!, 12);
  packet.writeUInt32BE(hosts[1]!, 16);
  packet.writeUInt16BE(ports[0]!, 20);
  packet.writeUInt16BE(ports[1]!, 22);
  packet.writeUInt32BE(sequence, 24);
  packet.writeUInt32BE(acknowledged, 28);
  packet[32] = (tcpBytes / 4) * 16;
  packet[33] = tcpFlags;
  packet.writeUInt16BE(0xffff, 34);
  packet.set(bytes, ipBytes + tcpBytes);
  return packet;
}

const execute = promisify(execFile);

/** Whether tshark is installed. */
export async function hasTshark(): Promise<boolean> {
  return execute("tshark", ["--version"]).then(
    () => true,
    () => false,
  );
}

/** How a capture is read: the target's port, and what is spoken there. */
export interface Reading {
  readonly port?: number;
  readonly protocol?: "nvme-tcp" | "tls";
}

/** Fields of packets that a filter chooses, as tshark's dissectors read them. */
export async function dissect(
  path: string,
  filter: string,
  fields: readonly string[],
  { port = capturedPort, protocol = "nvme-tcp" }: Reading = {},
): Promise<string[][]> {
  const { stdout } = await execute(
    "tshark",
    [
      ...["-r", path, "-Y", filter, "-d", `tcp.port==${port},${protocol}`],
      ...["-o", "nvme-tcp.check_hdgst:TRUE", "-o", "nvme-tcp.check_ddgst:TRUE"],
      ...["-T", "fields", "-E", "separator=|", ...fields.flatMap((field) => ["-e", field])],
    ],
    { maxBuffer: 64 * 2 ** 20 },
  );
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("|"));
}

/** Packets that tshark finds fault with: malformed ones, errors in them, digests that are wrong. */
export function findFaults(path: string, reading?: Reading): Promise<string[][]> {
  const faults = [
    "_ws.malformed",
    "_ws.expert.severity == error",
    "nvme-tcp.hdgst.status == 0",
    "nvme-tcp.ddgst.status == 0",
  ];
  return dissect(path, faults.join(" or "), ["frame.number", "_ws.expert.message"], reading);
}
