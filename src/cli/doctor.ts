/** `diskomator doctor`: what this machine lacks, and how to get it. */

import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { access, readFile } from "node:fs/promises";
import { networkInterfaces, release } from "node:os";
import { promisify } from "node:util";
import { findProgram, type Home, readHome } from "../box/index.ts";
import { findFirmware } from "../vm/index.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine, progressLine } from "./console.ts";
import { diagnose, type Finding, type MachineFacts } from "./doctor-checks.ts";
import { exitCodes } from "./exit.ts";
import { messageOf, withOutcome } from "./outcome.ts";
import { homePaths } from "./user-home.ts";

const help = `Usage: diskomator doctor [--json]

Looks at this machine: Node, SSH, keys, QEMU, the kernel's NVMe/TCP host, and what may block
announcements. Says how to get what is missing; changes nothing. Exits with 1 if something is
missing without which no box can be used.

Example: diskomator doctor`;

const runFile = promisify(execFile);
const commandMs = 5000;
const mdnsPort = 5353;
const programs = ["ssh", "qemu-system-x86_64", "keyctl", "tlshd"] as const;
const modules = ["nvme-tcp", "nvme-keyring", "tls"] as const;
const managers = { apt: "apt-get", dnf: "dnf", pacman: "pacman", zypper: "zypper", brew: "brew" };

/** The command. */
export const doctor: Command = {
  help,
  async run({ args, signal }) {
    const { values } = readOptions(args, { json: { type: "boolean", default: false } }, 0);
    return await withOutcome({ isJson: values.json, signal }, async () => {
      progressLine.show("Looking at this machine ...");
      const findings = diagnose(await gather());
      progressLine.clear();
      const isMissing = findings.some(({ verdict }) => verdict === "missing");
      const exitCode = isMissing ? exitCodes.failure : exitCodes.ok;
      if (values.json) {
        printJson({ event: "result", outcome: isMissing ? "failed" : "ok", exitCode, findings });
      } else for (const line of findings.flatMap(linesOf)) printLine(line);
      return exitCode;
    });
  },
};

function linesOf({ subject, verdict, found, without, fix }: Finding): string[] {
  const first = `${verdict.padEnd(8)}${subject}: ${found}`;
  const indent = " ".repeat(8);
  return [
    first,
    ...(without ? [`${indent}without it: ${without}`] : []),
    ...(fix ? [`${indent}${fix}`] : []),
  ];
}

async function gather(): Promise<MachineFacts> {
  const path = process.env.PATH ?? "";
  const found = await Promise.all(
    programs.map(async (name) => [name, await findProgram(name, path)] as const),
  );
  let home: Home | null = null;
  let configurationFault: string | null = null;
  try {
    home = await readHome(homePaths());
  } catch (error) {
    configurationFault = messageOf(error);
  }
  return {
    platform: process.platform,
    node: process.versions.node,
    manager: await findManager(path),
    programs: new Map(found),
    firmware: await findFirmware().then(
      () => true,
      () => false,
    ),
    modules: await findModules(),
    isTlshdActive: await isActive("tlshd"),
    nvmeCli: /(\d+\.\d+)/.exec((await say("nvme", ["version"])) ?? "")?.[1] ?? null,
    identities: home?.identities ?? [],
    hasImageKey: (home?.imageKeys.length ?? 0) > 0,
    configurationFault,
    interfaces: Object.entries(networkInterfaces())
      .filter(([, addresses]) => addresses?.some(({ internal }) => !internal))
      .map(([name]) => name),
    canListen: await canListen(),
    firewalls: await findFirewalls(),
  };
}

async function findManager(path: string): Promise<string | null> {
  for (const [name, program] of Object.entries(managers)) {
    if ((await findProgram(program, path)) !== null) return name;
  }
  return null;
}

/** Loaded, built in, or on the disk. */
async function findModules(): Promise<ReadonlyMap<string, boolean>> {
  const folder = `/lib/modules/${release()}`;
  const lists = await Promise.all(
    ["modules.dep", "modules.builtin"].map((name) =>
      readFile(`${folder}/${name}`, "utf8").catch(() => ""),
    ),
  );
  const loaded = (name: string) =>
    access(`/sys/module/${name.replaceAll("-", "_")}`).then(
      () => true,
      () => false,
    );
  const all = await Promise.all(
    modules.map(async (name) => {
      const isListed = lists.some((list) => new RegExp(`/${name}\\.ko`, "m").test(list));
      return [name, isListed || (await loaded(name))] as const;
    }),
  );
  return new Map(all);
}

async function canListen(): Promise<boolean> {
  const socket = createSocket({ type: "udp4", reuseAddr: true });
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once("error", () => resolve(false));
      socket.bind(mdnsPort, () => resolve(true));
    });
  } finally {
    socket.close();
  }
}

async function findFirewalls(): Promise<ReadonlyMap<string, boolean | null>> {
  const found = new Map<string, boolean | null>();
  if (await isActive("firewalld")) {
    const said = await say("firewall-cmd", ["--query-service=mdns"]);
    found.set("firewalld", said === null ? null : said.trim() === "yes");
  }
  // It tells root only what it lets in.
  if (await isActive("ufw")) found.set("ufw", null);
  return found;
}

/** Null where systemd is not asked for services. */
async function isActive(service: string): Promise<boolean | null> {
  const said = await say("systemctl", ["is-active", service]);
  return said === null ? null : said.trim() === "active";
}

/** What a program says on standard output, whatever it ends with; null when it does not start. */
async function say(program: string, args: readonly string[]): Promise<string | null> {
  const path = await findProgram(program, process.env.PATH ?? "");
  if (path === null) return null;
  try {
    return (await runFile(path, args, { timeout: commandMs })).stdout;
  } catch (error) {
    const said = error instanceof Error && "stdout" in error ? error.stdout : null;
    return typeof said === "string" ? said : null;
  }
}
