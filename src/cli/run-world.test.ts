/** The machine of a run on loopback addresses: forwarders that accept for nobody, a box that moves. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { type Home, type Place, placeOfAddress } from "../box/index.ts";
import type { BootState } from "../rpc/index.ts";
import { sampleDescription } from "../rpc/testing/handlers.ts";
import { type MachineOptions, machineOf } from "./run-world.ts";

const home: Home = { identities: [], knownHosts: [], imageKeys: [], hostKeys: [], knownBoxes: [] };
const fakeSsh = join(import.meta.dirname, "../box/testing/fake-ssh.ts");
const description = sampleDescription();
const state: BootState = {
  comeback: { certain: true, text: "" },
  secureBoot: null,
  firmwareMs: null,
  loaderMs: null,
  underTest: null,
  lastRun: null,
};
const within = { ms: 20_000, over: new AbortController().signal };

function machine(place: Place, changes: Partial<MachineOptions> = {}) {
  const ended = new Promise<never>(() => {});
  const session = { address: "127.0.0.1", description, ended };
  return machineOf({
    session,
    home,
    place,
    address: undefined,
    shows: () => new Promise<never>(() => {}),
    signal: new AbortController().signal,
    program: [process.execPath, fakeSsh],
    find: async () => null,
    ...changes,
  });
}

async function listen(host: string, onSocket: (socket: Socket) => void, port = 0) {
  const server: Server = createServer(onSocket).listen(port, host);
  await once(server, "listening");
  return Object.assign(server, { at: (server.address() as AddressInfo).port });
}

const answers: readonly [string, (socket: Socket) => void, string][] = [
  ["ends it at once", (socket) => void socket.destroy(), "no"],
  ["holds it", () => {}, "accepted"],
  ["speaks", (socket) => void socket.write("220 mail"), "speaks"],
];
for (const [name, onSocket, wanted] of answers) {
  test(`machineOf: a forwarded port that accepts and ${name} is "${wanted}"`, async () => {
    const sockets: Socket[] = [];
    await using server = await listen("127.0.0.1", (socket) => {
      sockets.push(socket.on("error", () => {}));
      onSocket(socket);
    });
    const place = { ...placeOfAddress("127.0.0.1"), ports: new Map([[80, server.at]]) };
    const made = machine(place);
    assert.equal(made.isForwarded(80), true);
    assert.equal(made.isForwarded(81), false);
    assert.equal(await made.accepts(80, within), wanted);
    for (const socket of sockets) socket.destroy();
  });
}

/** Greets as SSH does, and answers what is asked of a box that is back. */
function answerAsBox(socket: Socket): void {
  socket.on("error", () => {});
  socket.write("SSH-2.0-x\r\n");
  createInterface({ input: socket }).on("line", (line) => {
    const { id, method } = JSON.parse(line);
    const result = method === "describe" ? description : state;
    socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, result })}\n`);
  });
}

test("machineOf finds the box at another of its addresses, and where it is announced now", async () => {
  if (process.platform !== "linux") return;
  await using server = await listen("127.0.0.2", answerAsBox);
  const place = { ...placeOfAddress("127.0.0.1"), sshPort: server.at };
  const both = machine({ ...place, addresses: ["127.0.0.1", "127.0.0.2"] });
  assert.equal((await both.ask(within)).kind, "box");
  assert.equal(both.address, "127.0.0.2");
  const names: string[] = [];
  const moved = machine(place, {
    findEveryMs: 0,
    find: async (name) => {
      names.push(name);
      return { ...place, addresses: ["127.0.0.2"] };
    },
  });
  assert.equal((await moved.ask(within)).kind, "silent");
  assert.equal((await moved.ask(within)).kind, "box");
  assert.equal(moved.address, "127.0.0.2");
  assert.equal(names[0], "lunch-feta");
});

test("machineOf takes another system at another address for no image", async () => {
  if (process.platform !== "linux") return;
  await using server = await listen("127.0.0.2", (socket) => {
    socket.on("error", () => {});
    socket.write("SSH-2.0-x\r\n");
    socket.destroySoon();
  });
  const place = { ...placeOfAddress("127.0.0.1"), sshPort: server.at };
  const addresses = ["127.0.0.1", "127.0.0.2"];
  const program = [process.execPath, fakeSsh, "--says", "Permission denied (publickey)."] as const;
  const asked = await machine({ ...place, addresses }, { program }).ask(within);
  assert.equal(asked.kind, "silent");
});
