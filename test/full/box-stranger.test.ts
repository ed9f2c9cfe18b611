/**
 * A box as somebody without a key sees it, from a Linux of its own on the same cable: nvme-stas finds
 * it, ports are scanned, disks are asked for, and there is nothing.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeSshKey as makeHostKey } from "../../src/image/index.ts";
import {
  makeLink,
  makeScratchDisk,
  makeScratchFolder,
  type NicNetwork,
  startVm,
  type Vm,
} from "../../src/vm/index.ts";
import { boot, build, openShell, readState, stickOf } from "../driver-box.ts";
import { Control } from "../driver-control.ts";
import { Probe } from "../driver-probe.ts";
import { makeSshKey, type Ssh } from "../driver-ssh.ts";

const diskBytes = 64 * 1024 * 1024;
/** Every port, under emulation. */
const scan = { timeoutMs: 600_000 };
const owned = new AsyncDisposableStack();
let shell: Ssh;
let control: Control;
let stranger: Probe;
/** The box's, on the cable. */
let address = "";

before(async () => {
  const folder = owned.use(await makeScratchFolder());
  const key = owned.use(await makeSshKey());
  const sshHostKey = makeHostKey(randomBytes(32), "box").privateKey;
  await build("diskomator", folder.path, { authorizedKeys: [key.publicKey], sshHostKey });
  await build("stranger", folder.path);
  const link = owned.use(await makeLink());
  const [box, machine] = await Promise.all([
    startBox(folder.path, link.ends[0]),
    startStranger(folder.path, link.ends[1]),
  ]);
  // At the same time: what a kernel says later would stand behind its prompt.
  [shell, stranger] = await Promise.all([openShell(box, key), Probe.of(machine)]);
  control = owned.use(await Control.ready(shell));
  await stranger.until("ip -br address | grep -E '^en.* UP .*169\\.254\\.'", boot);
  address = await cableAddress();
});

after(() => owned.disposeAsync());

async function startBox(images: string, network: NicNetwork): Promise<Vm> {
  const disk = owned.use(await makeScratchDisk(diskBytes));
  const vm = await startVm({
    name: "box",
    memoryMiB: 768,
    disks: [
      stickOf(images, "diskomator"),
      { id: "nvme", kind: "nvme", path: disk.path, serial: "STRANGE-NVME" },
    ],
    nics: [{ network: { kind: "user", isolated: true } }, { network }],
    smbios: { uuid: "b7a0c2f4-5d0e-4f3b-8c11-2f4be8f10c66" },
  });
  return owned.use(vm);
}

async function startStranger(images: string, network: NicNetwork): Promise<Vm> {
  const vm = await startVm({
    name: "stranger",
    memoryMiB: 768,
    disks: [stickOf(images, "stranger")],
    nics: [{ network }],
    smbios: { uuid: "0c57bd6f-7e5c-4b0c-9a5f-3d2f4e1b8a77" },
  });
  return owned.use(vm);
}

/** Where no DHCP server is (RFC 3927). */
async function cableAddress(): Promise<string> {
  for (const late = AbortSignal.timeout(boot.timeoutMs); !late.aborted; await sleep(1000)) {
    const { addresses } = await control.client.call("describe", {});
    const found = addresses.find((one) => one.address.startsWith("169.254."));
    if (found) return found.address;
  }
  throw new Error("The box has no address on the cable.");
}

/** A test whose failure brings what the box has to say. */
function scenario(title: string, body: (t: TestContext) => Promise<void>): void {
  test(title, async (t) => {
    try {
      await body(t);
    } catch (error) {
      const { output } = await stranger.run("journalctl -b -o short-monotonic | tail -40");
      t.diagnostic(output);
      t.diagnostic((await shell.run("journalctl -b -o short-monotonic | tail -40")).stdout);
      throw error;
    }
  });
}

/** Ports that nmap does not call closed: `tcp 22`. */
async function openPorts(options: string): Promise<readonly string[]> {
  const said = await stranger.succeed(`nmap -n -Pn -oG - ${options}`, scan);
  const ports = /\tPorts: ([^\t\n]*)/.exec(said)?.[1] ?? "";
  assert.match(said, /1 host up/, said);
  const rows = ports.split(", ").filter((row) => row !== "");
  return rows.map((row) => {
    const [port, state, protocol] = row.split("/");
    assert.match(state ?? "", /^open/, row);
    return `${protocol} ${port}`;
  });
}

/** What SECURITY.md says that listens. */
async function promisedPorts(): Promise<readonly string[]> {
  const text = await readFile(join(import.meta.dirname, "../../SECURITY.md"), "utf8");
  const found = [...text.matchAll(/^\| (TCP|UDP) (\d+) +\|/gm)];
  return found.map(([, protocol, port]) => `${protocol?.toLowerCase()} ${port}`).toSorted();
}

scenario("nvme-stas finds the box, and reads from it that there are no disks", async () => {
  await stranger.succeed("systemctl start dbus avahi-daemon stafd", boot);
  await stranger.until(`stafctl ls | grep -qF ${address}`, boot);
  const listed = await stranger.succeed("stafctl ls");
  assert.match(listed, /'trsvcid': '8009'/);
  assert.match(listed, /nqn\.2014-08\.org\.nvmexpress\.discovery/);
  const [, nic] = /'host-iface': '([^']+)'/.exec(listed) ?? [];
  assert(nic, listed);
  const connected = `grep -l traddr=${address} /sys/class/nvme/*/address`;
  await stranger.until(connected, boot);
  const where = `-t tcp -a ${address} -s 8009 -f ${nic} -n ${discovery}`;
  const log = await stranger.succeed(`stafctl dlp ${where}`);
  assert.match(log, new RegExp(discovery.replaceAll(".", "\\.")));
  assert.doesNotMatch(log, /STRANGE-NVME/);
  await stranger.succeed("systemctl stop stafd && nvme disconnect-all", boot);
});

const discovery = "nqn.2014-08.org.nvmexpress.discovery";

scenario("without a key there is no disk to list, to connect to, or to read", async () => {
  const { disks } = await readState(shell);
  const [nqn] = disks.flatMap(({ state }) => (state.kind === "exported" ? [state.nqn] : []));
  assert(nqn);
  for (const port of [4420, 8009]) {
    const log = await stranger.succeed(`nvme discover -t tcp -a ${address} -s ${port}`, boot);
    assert.doesNotMatch(log, /STRANGE-NVME|subtype: +nvme subsystem/);
    const said = await stranger.run(`nvme connect-all -t tcp -a ${address} -s ${port}`, boot);
    assert.equal(await stranger.succeed("nvme list -o json | grep -c DevicePath || true"), "0");
    const to = `nvme connect -t tcp -a ${address} -s ${port} -n ${nqn}`;
    const secret = "DHHC-1:00:1ZGBWT7V2W3qSMBgUyRJPXgsm1HmWPXzgfkCtzWrGnBQRzWR:";
    for (const line of [to, `${to} --dhchap-secret=${secret}`]) {
      const { code, output } = await stranger.run(line, boot);
      assert.notEqual(code, 0, `${said.output}\n${output}`);
    }
  }
  const { code } = await stranger.run("ls /dev/nvme*n*");
  assert.notEqual(code, 0);
  const { events } = await control.client.call("log", {});
  const refused = events.filter(({ event }) => event === "kernel");
  assert(refused.some(({ fields }) => String(fields.text).includes("not allowed")));
});

scenario("a port scan shows what SECURITY.md says, and nothing else", async () => {
  const promised = await promisedPorts();
  assert.deepEqual(promised, ["tcp 22", "tcp 4420", "tcp 4421", "tcp 8009", "udp 5353"]);
  // The kernel answers one closed port in a second, so that a scan of UDP would take a day.
  await shell.succeed("echo 0 >/proc/sys/net/ipv4/icmp_ratelimit");
  const all = "--open --min-rate 3000 -p 1-65535";
  const tcp = await openPorts(`-sS ${all} ${address}`);
  // Of so many answers some are lost: whoever seems to listen is asked again, slowly.
  const silent = (await openPorts(`-sU ${all} ${address}`)).map((port) => port.split(" ")[1]);
  const udp = await openPorts(`-sU --open -p ${silent.join()} ${address}`);
  const atRest = promised.filter((port) => port !== "tcp 4421");
  assert.deepEqual([...tcp, ...udp].toSorted(), atRest);

  const hostnqn = "nqn.2014-08.org.nvmexpress:uuid:7d1e68ce-8f6d-4c1d-9b6a-4e3a5f2c9ba1";
  const wish = { hostnqn, disks: ["STRANGE-NVME"], mode: "ro", seconds: 600 } as const;
  const given = await control.client.call("grant", { ...wish, disks: [...wish.disks] });
  const some = `-sS --open -p 1-10000 ${address}`;
  assert.deepEqual(
    (await openPorts(some)).toSorted(),
    promised.filter((port) => port.startsWith("tcp")),
  );
  await control.client.call("revoke", { grant: given.grant });
  assert.deepEqual(await openPorts(some), tcp);
});
