/** Sends magic packets, and keeps the cards of boxes that were seen. */

import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { readOptional, writeWhole } from "./driver-home.ts";
import { broadcastsOf, magicPacket } from "./magic-packet.ts";
import { addSeenBoxes, formatSeenBoxes, parseSeenBoxes, type SeenBox } from "./seen.ts";

const fileName = "boxes-seen.json";
/** Of the service `discard`, where nobody listens. */
const wakePort = 9;
/** Datagrams get lost. */
const copies = 3;

/** Where packets go that are not broadcast on this machine's own networks. */
export interface WakeTo {
  /** Of a machine, or the broadcast address of another network. */
  readonly address: string;
  readonly port?: number;
}

/**
 * Sends magic packets for cards.
 * @param to default: each network that this machine is on.
 * @returns the addresses that they went to.
 */
export async function sendMagicPackets(
  macs: readonly string[],
  to: WakeTo | null,
): Promise<readonly string[]> {
  const own = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const addresses = to === null ? [...broadcastsOf(own), "255.255.255.255"] : [to.address];
  const socket = createSocket("udp4");
  try {
    socket.bind(0);
    await once(socket, "listening");
    socket.setBroadcast(true);
    const reached: string[] = [];
    let failure: unknown;
    for (const address of addresses) {
      try {
        for (let n = 0; n < copies; n++) {
          for (const mac of macs) await send(socket, mac, address, to?.port ?? wakePort);
        }
        reached.push(address);
      } catch (error) {
        // One network may be down while others are not.
        failure = error;
      }
    }
    if (reached.length === 0) throw failure;
    return reached;
  } finally {
    socket.close();
  }
}

function send(socket: Socket, mac: string, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(magicPacket(mac), port, address, (error) => (error ? reject(error) : resolve()));
  });
}

/**
 * Boxes whose cards are known.
 * @throws BoxError `configuration` when the file cannot be read; one that makes no sense is empty.
 */
export async function readSeenBoxes(folder: string): Promise<readonly SeenBox[]> {
  return parseSeenBoxes((await readOptional(join(folder, fileName))) ?? "");
}

/** Keeps the cards of boxes; writes only what is new. */
export async function rememberSeenBoxes(folder: string, seen: readonly SeenBox[]): Promise<void> {
  const known = await readSeenBoxes(folder);
  const all = addSeenBoxes(known, seen);
  if (all === known) return;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeWhole(join(folder, fileName), formatSeenBoxes(all));
}
