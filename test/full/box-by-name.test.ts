/**
 * The owner's walk, with no configuration at all: build, boot, `ls`, `flash`; with two boxes on a
 * network with multicast, and a stranger on the same network.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  makeScratchDisk,
  makeScratchFolder,
  type ScratchDisk,
  startVm,
  type Vm,
} from "../../src/vm/index.ts";
import { stickOf } from "../driver-box.ts";
import { type Ended, makeNetwork, type Network } from "../driver-network.ts";
import { rootFault, toolEnv } from "../driver-tools.ts";

const mebibyte = 1024 * 1024;
const diskBytes = 64 * mebibyte;
const main = join(import.meta.dirname, "../../src/cli/main.ts");
/** Two machines at once under TCG. */
const bootMs = 400_000;

/** A user with an empty home; only what was downloaded before is shared. */
interface User {
  readonly folder: string;
  run(...args: readonly string[]): Promise<Ended>;
  /** The result line of a command. */
  json(...args: readonly string[]): Promise<Record<string, unknown>>;
}

async function makeUser(network: Network, folder: string): Promise<User> {
  await mkdir(folder, { recursive: true });
  const env = {
    ...toolEnv,
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, "config"),
    XDG_CACHE_HOME: process.env.XDG_CACHE_HOME || join(homedir(), ".cache"),
  };
  const run = (...args: readonly string[]) => network.run(process.execPath, [main, ...args], env);
  const json = async (...args: readonly string[]) => {
    const { stdout, stderr } = await run(...args, "--json");
    const last = stdout.trim().split("\n").at(-1);
    assert(last, `${args.join(" ")} gave no result: ${stderr}`);
    return JSON.parse(last) as Record<string, unknown>;
  };
  return { folder, run, json };
}

interface ListedBox {
  readonly kind: string;
  readonly name: string;
  readonly bootedAt: string;
  readonly grants: readonly unknown[];
  readonly disks?: readonly {
    readonly serial: string;
    readonly state: { readonly kind: string };
  }[];
}

/** Lists again and again until boxes are as they should be. */
async function listUntil(
  user: User,
  isGood: (boxes: readonly ListedBox[]) => boolean,
): Promise<readonly ListedBox[]> {
  for (const late = AbortSignal.timeout(bootMs); ; await sleep(2000)) {
    const { boxes: found } = (await user.json("ls", "--timeout", "60")) as { boxes: ListedBox[] };
    if (isGood(found)) return found;
    if (late.aborted) assert.fail(`This is all that was found: ${JSON.stringify(found)}`);
  }
}

const isReady = ({ disks = [] }: ListedBox) =>
  disks.filter(({ state }) => state.kind === "exported").length === 2;

interface Machine {
  readonly box: Vm;
  readonly nvme: ScratchDisk;
  /** Every frame of its card. */
  readonly pcapPath: string;
}

async function bootMachine(
  stack: AsyncDisposableStack,
  n: number,
  folders: { readonly out: string; readonly scratch: string },
  interfaceName: string,
): Promise<Machine> {
  const nvme = stack.use(await makeScratchDisk(diskBytes));
  const virtio = stack.use(await makeScratchDisk(diskBytes));
  const pcapPath = join(folders.scratch, `box${n}.pcap`);
  const box = await startVm({
    name: `box${n}`,
    memoryMiB: 768,
    smbios: { uuid: `5d0c6f1e-2b7a-4c93-9e48-1f6a7b3c2d1${n}` },
    disks: [
      stickOf(folders.out, "diskomator"),
      { id: "nvme", kind: "nvme", path: nvme.path, serial: `BOX${n}-NVME` },
      { id: "virtio", kind: "virtio-blk", path: virtio.path, serial: `BOX${n}-VIRTIO` },
    ],
    nics: [{ network: { kind: "tap", interfaceName }, pcapPath }],
  });
  stack.use(box);
  return { box, nvme, pcapPath };
}

async function readStart(path: string, length: number): Promise<Buffer> {
  await using file = await open(path);
  const buffer = Buffer.alloc(length);
  await file.read(buffer, 0, length, 0);
  return buffer;
}

const skip = rootFault("a network with multicast");
const stack = new AsyncDisposableStack();
const content = randomBytes(4 * mebibyte);
/** As it would be seen on the wire, wherever a packet begins. */
const mark = content.subarray(mebibyte, mebibyte + 64);
let scratch = "";
let image = "";
let network: Network;
let owner: User;
let first: Machine;
/** The first box. */
let name = "";

before(async () => {
  if (skip) return;
  scratch = stack.use(await makeScratchFolder()).path;
  image = join(scratch, "os.raw");
  await writeFile(image, content);
  network = stack.use(await makeNetwork(2));
  owner = await makeUser(network, join(scratch, "owner"));
  const out = join(scratch, "out");
  const built = await owner.run("build", "--access", "paired", "--out", out);
  assert.equal(built.code, 0, built.stderr);
  const [tap0 = "", tap1 = ""] = network.taps;
  first = await bootMachine(stack, 0, { out, scratch }, tap0);
  await bootMachine(stack, 1, { out, scratch }, tap1);
});

after(() => stack.disposeAsync());

function nameOf(boxes: readonly ListedBox[], serial: string): string | undefined {
  return boxes.find(({ disks }) => disks?.some((disk) => disk.serial === serial))?.name;
}

test("ls finds both by their names, with their disks", { skip }, async () => {
  const found = await listUntil(owner, (all) => all.length === 2 && all.every(isReady));
  const names = found.map((box) => box.name);
  assert.equal(new Set(names).size, 2);
  for (const one of names) assert.match(one, /^[a-z]+-[a-z]+$/);
  const { stdout, stderr } = await owner.run("ls", "--timeout", "60");
  for (const text of [...names, "BOX0-NVME", "BOX1-VIRTIO", "64.0 MiB", "paired", "blank"]) {
    assert(stdout.includes(text), `${text} is not in\n${stdout}${stderr}`);
  }
  name = nameOf(found, "BOX0-NVME") ?? "";
});

test("flash writes by name; the wire shows nothing of the image", { skip }, async () => {
  const { code, stderr, stdout } = await owner.run("flash", image, `${name}:BOX0-NVME`);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /ok, verified/);
  assert((await readStart(first.nvme.path, content.length)).equals(content));
  const frames = await readFile(first.pcapPath);
  assert(frames.length > content.length);
  assert(!frames.includes(mark));
  const boxes = await listUntil(owner, (all) => all.some((one) => one.name === name));
  assert.deepEqual(boxes.find((one) => one.name === name)?.grants, []);
});

test("without encryption the wire shows the image, as --no-tls says", { skip }, async () => {
  const args = ["flash", image, `${name}:BOX0-VIRTIO`, "--no-tls"];
  const { code, stderr } = await owner.run(...args);
  assert.equal(code, 0, stderr);
  assert((await readFile(first.pcapPath)).includes(mark));
});

test("verify and backup read what flash wrote, and the disk must be named", { skip }, async () => {
  const verified = await owner.run("verify", image, `${name}:BOX0-NVME`);
  assert.equal(verified.code, 0, verified.stderr);
  const saved = join(scratch, "saved.raw");
  const unnamed = await owner.run("backup", name, saved);
  assert.equal(unnamed.code, 4, unnamed.stderr);
  assert.match(unnamed.stderr, /Name a disk of .*BOX0-NVME.*BOX0-VIRTIO/s);
  const absent = await owner.run("backup", `${name}:NO-SUCH`, saved);
  assert.equal(absent.code, 5, absent.stderr);
  const backup = await owner.run("backup", `${name}:BOX0-NVME`, saved);
  assert.equal(backup.code, 0, backup.stderr);
  assert((await readStart(saved, content.length)).equals(content));
});

test("ssh runs a command there", { skip }, async () => {
  const { code, stdout, stderr } = await owner.run(
    "ssh",
    name,
    "--",
    "cat /proc/sys/kernel/hostname; exit 3",
  );
  assert.equal(code, 3, stderr);
  assert.match(stdout, new RegExp(`^${name}`));
});

test("a stranger sees that there are boxes, and gets nothing", { skip }, async () => {
  const stranger = await makeUser(network, join(scratch, "stranger"));
  const { boxes } = (await stranger.json("ls", "--timeout", "60")) as { boxes: ListedBox[] };
  assert.deepEqual(
    boxes.map(({ kind }) => kind),
    ["not ours", "not ours"],
  );
  const flashed = await stranger.run("flash", image, `${name}:BOX0-NVME`);
  assert.equal(flashed.code, 4, flashed.stderr);
  assert.match(flashed.stderr, /lets none of your SSH keys in/);
});

test("reboot boots a box again, and it has the same name", { skip }, async () => {
  const before = await listUntil(owner, (all) => all.every(isReady));
  const boot = (boxes: readonly ListedBox[]) => boxes.find((one) => one.name === name)?.bootedAt;
  const { code, stderr } = await owner.run("reboot", name);
  assert.equal(code, 0, stderr);
  const after = await listUntil(
    owner,
    (all) => all.length === 2 && all.every(isReady) && boot(all) !== boot(before),
  );
  assert.equal(nameOf(after, "BOX0-NVME"), name);
});
