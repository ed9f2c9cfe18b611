/** Hosts of a box that have, or had, a grant of it. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connectController, type RemoteDisk } from "../src/initiator/index.ts";
import type { GrantedAccess } from "../src/rpc/index.ts";
import { patience } from "./driver-box.ts";

/** What of a grant is used, and what else in its place. */
export interface GrantUse {
  readonly tls?: boolean;
  readonly hostNqn?: string;
  readonly secret?: string;
  readonly controllerSecret?: string;
  readonly port?: number;
}

/**
 * Connects to the first disk of a grant.
 * @param ports of this machine, by the box's
 */
export async function connectGranted(
  access: GrantedAccess,
  ports: ReadonlyMap<number, number>,
  how: GrantUse,
) {
  const [disk] = access.disks;
  assert.ok(disk);
  const { secret = access.secrets.host, controllerSecret = access.secrets.controller } = how;
  return connectController({
    host: "127.0.0.1",
    port: how.port ?? ports.get(disk.port)!,
    subsystemNqn: disk.nqn,
    hostNqn: how.hostNqn ?? access.hostnqn,
    ioQueues: 1,
    authentication: { secret, controllerSecret },
    ...patience,
    ...(how.tls ? { tls: { key: access.tlsPsk ?? "" } } : {}),
    reconnect: { controllerLossMs: 1 },
  });
}

/** Noise, which the disk then gives back. @returns the noise */
export async function writeAndRead(disk: RemoteDisk, offsetBytes: number): Promise<Buffer> {
  const data = randomBytes(256 * 1024);
  await disk.write(offsetBytes, data);
  await disk.flush();
  const found = Buffer.alloc(data.length);
  await disk.read(offsetBytes, found);
  assert.ok(found.equals(data));
  return data;
}

/** Says again what a host once said, waiting for an answer each time; returns all answers. */
export async function replay(port: number, said: readonly Uint8Array[]): Promise<Buffer> {
  const answers: Buffer[] = [];
  const socket = createConnection({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  socket.on("data", (bytes) => answers.push(bytes));
  await once(socket, "connect");
  for (const bytes of said) {
    if (socket.destroyed) break;
    socket.write(bytes);
    const answered = new Promise((resolve) => socket.once("data", resolve).once("close", resolve));
    await Promise.race([answered, sleep(replayPauseMs)]);
  }
  socket.destroy();
  return Buffer.concat(answers);
}

/** What answers has long done so. */
const replayPauseMs = 3000;
