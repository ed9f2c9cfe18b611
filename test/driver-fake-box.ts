/**
 * A box in this process: its control channel on a loopback port, and its disks behind our own
 * target, so that commands can be run against it as users run them. A program named `ssh` that comes
 * first on PATH joins its pipes to the channel.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type HashedDisk, hashRanges } from "../src/appliance/index.ts";
import {
  type BlockDevice,
  type DigestRange,
  digestsLength,
  digestUnits,
  MemoryDisk,
} from "../src/block/index.ts";
import { ConfiguredPsk, DhchapSecret } from "../src/nvme/index.ts";
import {
  type DiskView,
  type GrantedAccess,
  type GrantView,
  type Handlers,
  RpcError,
  RpcSession,
} from "../src/rpc/index.ts";
import { createTarget, type RunningTarget } from "../src/target/index.ts";
import { bootHandlers, FakeAbsence, type FakeBoots } from "./driver-fake-boots.ts";

const fakeSsh = join(import.meta.dirname, "../src/box/testing/fake-ssh.ts");
const main = join(import.meta.dirname, "../src/cli/main.ts");
const at = "2026-11-23T12:00:00.000Z";
const diskBytes = 8 * 1024 * 1024;
/** Its network card. */
const card = {
  interface: "eth0",
  address: "192.0.2.7",
  family: "IPv4" as const,
  linkLocal: false,
  mac: "52:54:00:12:34:56",
};
const prefix = "nqn.2026-11.io.diskomator:cd7c3f8f";

/** A disk of it, as tests look at it from behind. */
export interface FakeDisk extends BoxedDisk {
  readonly memory: MemoryDisk;
}

/** What a box serves and hashes. */
export interface BoxedDisk {
  readonly name: string;
  readonly serial: string;
  readonly device: BlockDevice;
  /** What lies on it, as the box tells; blank unless given. */
  readonly contents?: DiskView["contents"];
  /** The same, as the box hashes it; disposal belongs to one call. */
  openHashed(): Promise<HashedDisk>;
}

/** The box. */
export interface FakeBox<D extends BoxedDisk = FakeDisk> extends AsyncDisposable {
  /** Of the control channel. */
  readonly port: number;
  /** Tests may plug in another. */
  readonly disks: D[];
  /** Grants that are alive; tests may put others among them. */
  readonly grants: Map<string, GrantView>;
  /** What was called so far, `cancel` apart. */
  readonly calls: readonly string[];
  /** Tells those that watch that something is not what it was. */
  changed(): void;
  /** Ends all sessions and connections, and forgets what was granted; disks stay as they are. */
  reboot(): void;
}

/** Makes a box with disks of these serial numbers, named `nvme0n1` and so on. */
export function startFakeBox(serials: readonly string[], boots: FakeBoots = {}): Promise<FakeBox> {
  const disks = serials.map((serial, n) => {
    const contents = boots.contents?.[serial];
    return { ...fakeDisk(`nvme${n}n1`, serial), ...(contents ? { contents } : {}) };
  });
  return startBoxOf(disks, boots);
}

/** A disk of zeros. */
export function fakeDisk(name: string, serial: string): FakeDisk {
  const memory = new MemoryDisk({ sizeBytes: diskBytes });
  return { name, serial, memory, device: memory, openHashed: async () => hashedDisk(memory) };
}

/** Any device as what is hashed, with what the product makes digests with. */
function hashedDisk(device: BlockDevice): HashedDisk {
  const { sizeBytes, blockSizeBytes } = device;
  async function* digest(ranges: readonly DigestRange[], unitBytes: number) {
    for (const { offsetBytes, lengthBytes } of ranges) {
      const stepBytes = unitBytes * unitsAtOnce;
      for (let done = 0; done < lengthBytes; done += stepBytes) {
        const data = new Uint8Array(Math.min(stepBytes, lengthBytes - done));
        await device.read(offsetBytes + done, data);
        const digests = new Uint8Array(digestsLength(data.byteLength, unitBytes));
        digestUnits(data, unitBytes, digests, 0);
        yield { offsetBytes: offsetBytes + done, lengthBytes: data.byteLength, digests };
      }
    }
  }
  return { sizeBytes, blockSizeBytes, digest, [Symbol.asyncDispose]: async () => {} };
}

const unitsAtOnce = 16;

/** Makes a box of disks, with the product's target, sessions and hashing; grants are its own. */
export async function startBoxOf<D extends BoxedDisk>(
  disks: D[],
  boots: FakeBoots = {},
): Promise<FakeBox<D>> {
  await using stack = new AsyncDisposableStack();
  const target = stack.use(createTarget());
  const grants = new Map<string, GrantView>();
  const calls: string[] = [];
  const changes = new EventEmitter();
  const boot = { bootedAt: at };
  const sockets = new Set<Socket>();
  const away = new FakeAbsence(sockets, boots);
  const handlers = {
    ...handlersOf(disks, target, grants, changes, boot),
    ...bootHandlers(boots, () => void away.leave()),
  };
  const server = createServer((socket) => {
    socket.on("error", () => {});
    if (away.isAway) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.write("SSH-2.0-fake\r\n");
    const session = new RpcSession({
      handlers,
      write: async (line) => void socket.write(line),
      onCall: (method) => {
        calls.push(method);
        boots.onCall?.(method);
      },
    });
    socket.on("data", (chunk) => void session.receive(chunk));
    socket.on("close", () => {
      sockets.delete(socket);
      session.close();
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  stack.defer(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => server.close(done));
  });
  const address = server.address();
  const all = stack.move();
  return {
    port: typeof address === "object" && address ? address.port : 0,
    disks,
    grants,
    calls,
    changed: () => void changes.emit("state"),
    reboot() {
      boot.bootedAt = "2026-11-23T13:00:00.000Z";
      grants.clear();
      for (const nqn of [...target.target.subsystems.keys()]) target.target.removeSubsystem(nqn);
      for (const socket of sockets) socket.destroy();
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function handlersOf(
  disks: readonly BoxedDisk[],
  target: RunningTarget,
  grants: Map<string, GrantView>,
  changes: EventEmitter,
  boot: { readonly bootedAt: string },
): Omit<Handlers, "bootOnce" | "bootState" | "reboot"> {
  const done = async () => ({});
  const given = new Map<string, GrantedAccess>();
  const find = (name: string) => {
    const found = disks.find((disk) => disk.name === name || nqnOf(disk) === name);
    if (found === undefined) throw new RpcError("no-such-disk", `No disk is called ${name}.`);
    return found;
  };
  return {
    describe: async () => ({
      rpc: 1,
      name: "lunch-feta",
      fullName: "lunch-feta-olive",
      box: "cd7c3f8f",
      version: "0.1.0",
      access: "paired" as const,
      readOnly: false,
      addresses: [card],
      ports: { nvme: 4420, discovery: 8009, readOnly: 4421 },
      tls: true,
      bootMedium: "sda",
      problems: [],
      startedAt: at,
      now: at,
      bootedAt: boot.bootedAt,
    }),
    disks: async () => ({ disks: disks.map(viewOf), grants: [...grants.values()], peers: [] }),
    grant: async (params) => {
      const { hostnqn, mode, purpose, disks: names } = params;
      // Who asks again prolongs what there is.
      const key = JSON.stringify([hostnqn, mode, names]);
      const known = given.get(key);
      if (known && grants.has(known.grant)) return known;
      const grant = `g${grants.size + 1}`;
      const rest = { mode, purpose, disks: names, since: at, expiresAt: null, overlay: null };
      grants.set(grant, { grant, hostnqn, ...rest });
      const access = await serve(target, find(names[0] ?? ""), { grant, hostnqn, mode });
      given.set(key, access);
      return access;
    },
    revoke: async ({ grant }) => {
      if (grants.delete(grant)) return {};
      throw new RpcError("no-such-grant", `There is no grant ${grant}.`);
    },
    export: done,
    unexport: done,
    hash: async (params, { send, signal }) => {
      await using hashed = await find(params.disk).openHashed();
      return await hashRanges(hashed, params, send, signal);
    },
    watch: (_params, { signal, send }) =>
      new Promise((_resolve, reject) => {
        const tell = () => void send({ number: 1, at, event: "state", fields: {} });
        changes.on("state", tell);
        signal.addEventListener("abort", () => changes.off("state", tell), { once: true });
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
    log: async () => ({ events: [] }),
    powerOff: done,
    blink: done,
  };
}

/** A subsystem for one host, behind a port on which TLS is spoken and its secrets are asked for. */
async function serve(
  target: RunningTarget,
  { name, serial, device }: BoxedDisk,
  given: Pick<GrantedAccess, "grant" | "hostnqn" | "mode">,
): Promise<GrantedAccess> {
  const nqn = `${prefix}:${serial}:h-${randomBytes(6).toString("hex")}`;
  const secrets = {
    host: new DhchapSecret(randomBytes(32), "sha256").reveal(),
    controller: new DhchapSecret(randomBytes(32), "sha256").reveal(),
  };
  const psk = new ConfiguredPsk(randomBytes(32), "sha256");
  const { hostnqn, mode } = given;
  const { host: secret, controller: controllerSecret } = secrets;
  const readOnly = mode === "ro";
  const uuid = randomUUID();
  target.target.addSubsystem({
    nqn,
    serial,
    hosts: new Map([[hostnqn, { secret, controllerSecret, readOnly }]]),
    namespaces: [{ device, uuid }],
  });
  const keys = [{ key: psk.reveal(), hostnqn, subnqn: nqn }];
  const { port } = await target.listen({ port: 0, tls: { policy: "optional", keys } });
  const { sizeBytes, blockSizeBytes } = device;
  const { identity } = psk.retain(hostnqn).tlsPsk({ hostnqn, subnqn: nqn });
  return {
    ...given,
    expiresAt: null,
    secrets,
    tlsPsk: psk.reveal(),
    addresses: [],
    disks: [
      {
        name,
        serial,
        nqn,
        nsid: 1,
        uuid,
        port,
        sizeBytes,
        blockSizeBytes,
        readOnly,
        tlsIdentity: identity,
      },
    ],
  };
}

function nqnOf({ serial }: Pick<BoxedDisk, "serial">): string {
  return `${prefix}:${serial}`;
}

function viewOf({ name, serial, device, contents }: BoxedDisk): DiskView {
  const { sizeBytes, blockSizeBytes } = device;
  return {
    name,
    serial,
    model: "Memory disk",
    firmware: "1",
    transport: "nvme",
    sizeBytes,
    blockSizeBytes,
    path: "memory",
    readOnly: false,
    identity: { kind: "serial", value: serial, weak: false },
    state: {
      kind: "exported",
      nqn: nqnOf({ serial }),
      uuid: randomUUID(),
      since: at,
      tookMs: 1,
    },
    contents: contents ?? { line: "blank", isBlank: true, partitions: [] },
    traffic: null,
    health: null,
  };
}

/** How a command ended. */
export interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A user who knows boxes at ports of this machine; disposal removes the user's files. */
export interface FakeUser extends AsyncDisposable {
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Its standard input may be written to. */
  start(...args: readonly string[]): ChildProcess;
  run(...args: readonly string[]): Promise<Ended>;
}

/** @param boxes name → port of the control channel */
export async function makeFakeUser(boxes: Readonly<Record<string, number>>): Promise<FakeUser> {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-user-"));
  const programs = join(folder, "bin");
  const configuration = join(folder, "config/diskomator");
  await mkdir(programs);
  await mkdir(configuration, { recursive: true });
  const ssh = join(programs, "ssh");
  await writeFile(ssh, `#!/bin/sh\nexec '${process.execPath}' '${fakeSsh}' "$@"\n`);
  await chmod(ssh, 0o755);
  const known = Object.entries(boxes).map(([name, port]) => {
    return { name, address: "127.0.0.1", ports: { 22: port } };
  });
  await writeFile(join(configuration, "boxes.json"), JSON.stringify({ boxes: known }));
  const env = {
    ...process.env,
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, "config"),
    XDG_CACHE_HOME: join(folder, "cache"),
    XDG_STATE_HOME: join(folder, "state"),
    PATH: [programs, process.env.PATH].join(delimiter),
  };
  const start = (...args: readonly string[]) =>
    spawn(process.execPath, [main, ...args], { env, stdio: "pipe" });
  const run = async (...args: readonly string[]): Promise<Ended> => {
    const child = start(...args);
    child.stdin.end();
    let [stdout, stderr] = ["", ""];
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const exitCode = await new Promise<number | null>((end) => child.on("close", end));
    return { exitCode, stdout, stderr };
  };
  return {
    folder,
    environment: env,
    start,
    run,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
