/** Sessions over the daemon's socket, as sshd's subsystem joins them to it. */
import assert from "node:assert/strict";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Handlers } from "../rpc/index.ts";
import { RpcClient } from "../rpc/index.ts";
import { serveRpc } from "./driver-rpc.ts";

const at = "2026-11-23T12:00:00.000Z";

function handlersWith(changes: Partial<Handlers>): Handlers {
  const unused = () => Promise.reject(new Error("not in this test"));
  return {
    describe: unused,
    disks: unused,
    grant: unused,
    revoke: unused,
    export: unused,
    unexport: unused,
    hash: unused,
    watch: unused,
    reboot: unused,
    powerOff: unused,
    blink: unused,
    bootOnce: unused,
    bootState: unused,
    log: async () => ({ events: [{ number: 1, at, event: "granted", fields: { disk: "sda" } }] }),
    ...changes,
  };
}

async function withServer(
  changes: Partial<Handlers>,
  scenario: (path: string, logged: readonly string[]) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-rpc-"));
  const path = join(folder, "run/rpc.sock");
  const stop = new AbortController();
  const logged: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const handlers = handlersWith(changes);
  const log = (event: string, fields: object) => logged.push(`${event} ${JSON.stringify(fields)}`);
  const told = (problem: string | null) => (problem === null ? resolve() : reject(problem));
  serveRpc({ path, handlers, log, told }, stop.signal);
  try {
    await promise;
    await scenario(path, logged);
  } finally {
    stop.abort();
    await rm(folder, { recursive: true });
  }
}

function dial(path: string): { readonly client: RpcClient; readonly socket: Socket } {
  const socket = createConnection(path);
  const client = new RpcClient((line) => void socket.write(line));
  socket.on("data", (chunk) => client.receive(chunk as Buffer));
  socket.on("error", () => client.close());
  socket.on("close", () => client.close());
  return { client, socket };
}

const closed = (socket: Socket) =>
  new Promise<void>((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });

test("serveRpc answers many sessions at a socket that is root's alone, and logs each call", () =>
  withServer({}, async (path, logged) => {
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const ends = [dial(path), dial(path), dial(path)];
    for (const { client } of ends) {
      assert.equal((await client.call("log", {})).events[0]?.event, "granted");
    }
    for (const { socket } of ends) socket.destroy();
    assert.equal(logged.filter((line) => /^call .*"method":"log"/.test(line)).length, 3);
  }));

test("serveRpc answers what was asked before the other end said that it had done", () =>
  withServer({}, async (path) => {
    const socket = createConnection(path);
    socket.end('{"jsonrpc":"2.0","id":1,"method":"log","params":{}}\n');
    const chunks = await socket.toArray();
    assert.match(Buffer.concat(chunks).toString(), /"id":1,"result":\{"events"/);
  }));

test("serveRpc cancels the streams of a session that has gone", async () => {
  const gone = Promise.withResolvers<void>();
  const watch: Handlers["watch"] = (_params, { signal }) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => {
        gone.resolve();
        reject(new Error("gone"));
      });
    });
  await withServer({ watch }, async (path) => {
    const { client, socket } = dial(path);
    const watching = client.stream("watch", {}, () => {});
    await client.call("log", {});
    socket.destroy();
    await assert.rejects(watching);
    await gone.promise;
  });
});

test("serveRpc ends a session that says nothing but noise, and leaves the others alone", () =>
  withServer({}, async (path, logged) => {
    const good = dial(path);
    const bad = createConnection(path);
    bad.on("error", () => {});
    bad.write("noise\n".repeat(1000));
    bad.resume();
    await closed(bad);
    assert.equal((await good.client.call("log", {})).events.length, 1);
    good.socket.destroy();
    assert.ok(logged.some((line) => /^session .*malformed/.test(line)));
  }));

test("serveRpc has a bounded number of sessions", () =>
  withServer({}, async (path, logged) => {
    const ends = Array.from({ length: 16 }, () => dial(path));
    for (const { client } of ends) await client.call("log", {});
    const more = dial(path);
    await assert.rejects(more.client.call("log", {}), { code: "limit", message: /16 sessions/ });
    await closed(more.socket);
    assert.ok(logged.some((line) => line.includes("too many sessions")));
    assert.equal((await ends[0]!.client.call("log", {})).events.length, 1);
    for (const { socket } of ends) socket.destroy();
  }));
