/** A box's end of the control channel on a TCP port, with disks made of values. */

import { createServer, type Socket } from "node:net";
import {
  type DiskView,
  type GrantView,
  type Handlers,
  RpcError,
  RpcSession,
} from "../../rpc/index.ts";
import { sampleDescription } from "../../rpc/testing/handlers.ts";

/** What the box has, and what it does otherwise than to answer well. */
export interface FakeBoxOptions {
  readonly disks: readonly DiskView[];
  readonly handlers?: Partial<Handlers>;
}

/** A box that listens; disposal ends it. */
export interface FakeBox extends AsyncDisposable {
  readonly port: number;
  /** Sessions so far. */
  readonly sessions: number;
  readonly grants: ReadonlyMap<string, GrantView>;
  /** Ends every connection. */
  cut(): Promise<void>;
}

const at = "2026-11-23T12:00:00.000Z";

/** Listens on the loopback address. */
export async function serveFakeBox(options: FakeBoxOptions): Promise<FakeBox> {
  const sockets = new Set<Socket>();
  const grants = new Map<string, GrantView>();
  const handlers = { ...answers(options, grants), ...options.handlers };
  let sessions = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let session: RpcSession | undefined;
    socket.on("data", (chunk) => {
      // Who only knocks has no session.
      if (session === undefined) sessions += 1;
      session ??= new RpcSession({ handlers, write: async (line) => void socket.write(line) });
      void session.receive(chunk);
    });
    socket.on("close", () => {
      sockets.delete(socket);
      session?.close();
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  const cut = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: typeof address === "object" && address ? address.port : 0,
    get sessions() {
      return sessions;
    },
    grants,
    cut,
    async [Symbol.asyncDispose]() {
      await cut();
      await new Promise((done) => server.close(done));
    },
  };
}

function answers({ disks }: FakeBoxOptions, grants: Map<string, GrantView>): Handlers {
  const done = async () => ({});
  const disk = async ({ disk: name }: { readonly disk: string }) => {
    if (disks.some((one) => one.name === name || one.serial === name)) return {};
    throw new RpcError("no-such-disk", `No disk is called ${name}.`);
  };
  return {
    describe: async () => sampleDescription(),
    disks: async () => ({ disks: [...disks], grants: [...grants.values()], peers: [] }),
    grant: async ({ hostnqn, mode, disks: names, purpose }) => {
      const grant = `g-${names.join("-")}`;
      const rest = { purpose, since: at, expiresAt: null, overlay: null };
      grants.set(grant, { grant, hostnqn, mode, disks: names, ...rest });
      const secrets = { host: "DHHC-1:01:aG9zdA==:", controller: "DHHC-1:01:Y3RybA==:" };
      const access = { grant, hostnqn, mode, expiresAt: null, secrets };
      return { ...access, tlsPsk: null, addresses: [], disks: [] };
    },
    revoke: async ({ grant }) => {
      if (grants.delete(grant)) return {};
      throw new RpcError("no-such-grant", `No grant is called ${grant}.`);
    },
    export: disk,
    unexport: disk,
    hash: async () => ({ units: 0, bytes: 0 }),
    watch: (_params, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
    log: async () => ({ events: [] }),
    bootOnce: () => Promise.reject(new RpcError("refused", "This box boots no disk.")),
    bootState: async () => ({
      comeback: { certain: true, text: "it is no machine" },
      secureBoot: null,
      firmwareMs: null,
      loaderMs: null,
      underTest: null,
      lastRun: null,
    }),
    reboot: done,
    powerOff: done,
    blink: done,
  };
}
