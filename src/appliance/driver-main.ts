/**
 * The program of the box: joins the daemon to the machine. `--list-devices` prints what would be
 * exported and ends; `--root DIRECTORY` takes /sys, /run, /dev, /proc and /etc from elsewhere.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseBootMemory } from "./boot-medium.ts";
import { type ParsedConfig, parseConfig } from "./config.ts";
import { parseChoices } from "./disk-choices.ts";
import { Announcer } from "./driver-announce.ts";
import { configfsCalls, nvmetDirectory, readFound, refreshFound } from "./driver-configfs.ts";
import { Daemon } from "./driver-daemon.ts";
import {
  hasEfiVariables,
  hasIpv6,
  JsonDirectory,
  readBootClues,
  readOptional,
} from "./driver-files.ts";
import { KernelLog, watchRefusals } from "./driver-kernel-log.ts";
import type { Keyboard } from "./driver-keyboard.ts";
import { TlsKeyring } from "./driver-keyring.ts";
import { DiskLocks } from "./driver-lock.ts";
import { watchAddresses } from "./driver-network.ts";
import type { OwnerSetup } from "./driver-owner.ts";
import { SoftTarget } from "./driver-soft-target.ts";
import { listBlockDevices, readBlockFacts } from "./driver-sysfs.ts";
import { askStopReason, Notifier } from "./driver-systemd.ts";
import { mountEfiVariables, prepareTarget } from "./driver-target.ts";
import { Terminals } from "./driver-terminal.ts";
import { watchBlockDevices } from "./driver-udev.ts";
import { EventList } from "./events.ts";
import { type GrantMemory, Grants } from "./grants.ts";
import { boxId, boxName, isLasting } from "./identity.ts";
import { formatLogLine, type Log } from "./log.ts";
import { boxPorts, readOnlyPort } from "./nvmet.ts";
import { formatDecimalSize } from "./screen.ts";
import { rememberExports, type State } from "./state.ts";
import { takeStock } from "./stock.ts";
import type { DaemonSetup, World } from "./world.ts";

const bootMemoryFile = "boot-medium.json";
const stateFile = "state.json";
const grantsFile = "grants.json";
const choicesFile = "choices.json";
const runDirectory = "run/diskomator";

const events = new EventList();

const log: Log = (event, fields) => {
  process.stdout.write(`${formatLogLine(event, fields)}\n`);
  events.add(event, fields, new Date());
};

async function readSetup(root: string): Promise<OwnerSetup> {
  const release = readOptional(root, "etc/os-release") ?? "";
  const machineId = readOptional(root, "etc/machine-id")?.trim() ?? "";
  const bootId = readOptional(root, "proc/sys/kernel/random/boot_id") ?? "";
  const configuration = readConfiguration(root, machineId);
  // An open box takes everybody as they come; tlshd is what does the kernel's handshakes.
  const tls = configuration.config.access !== "open" && existsSync(join(root, "usr/sbin/tlshd"));
  return {
    version: /^IMAGE_VERSION="?([^"\n]*)/m.exec(release)?.[1] ?? "development",
    box: boxId(machineId || bootId),
    name: boxName(machineId || bootId),
    configuration,
    tls,
    grants: new Grants(await readGrants(root)),
    choices: parseChoices(readOptional(root, join(runDirectory, choicesFile)) ?? ""),
    ports: boxPorts({ ipv6: hasIpv6(root), tls }),
    bootClues: readBootClues(root),
    hasEfiVariables: hasEfiVariables(root),
    bootMemory: parseBootMemory(readOptional(root, join(runDirectory, bootMemoryFile)) ?? ""),
    exports: rememberExports(readOptional(root, join(runDirectory, stateFile)) ?? ""),
  };
}

/** What an earlier daemon granted since this machine booted. */
async function readGrants(root: string): Promise<GrantMemory | undefined> {
  const text = readOptional(root, join(runDirectory, grantsFile));
  if (text === null) return undefined;
  const { parseGrantMemory } = await import("./grant-memory.ts");
  return parseGrantMemory(text);
}

function readConfiguration(root: string, machineId: string): ParsedConfig {
  const json = readOptional(root, "etc/diskomator/config.json");
  const commandLine = readOptional(root, "proc/cmdline") ?? "";
  const parsed = parseConfig(json, commandLine);
  const uuid = readOptional(root, "sys/class/dmi/id/product_uuid");
  const problem = "The firmware gives no UUID: names of box and disks change at every boot.";
  return isLasting(machineId, commandLine, uuid)
    ? parsed
    : { ...parsed, problems: [...parsed.problems, problem] };
}

function listDevices(root: string, setup: DaemonSetup): void {
  const { disks } = takeStock({
    facts: listBlockDevices(root)
      .map((name) => readBlockFacts(root, name))
      .filter((facts) => facts !== null),
    config: setup.configuration.config,
    box: setup.box,
    bootClues: setup.bootClues,
    bootMemory: setup.bootMemory,
    bootTimeIsUp: true,
    waitedEnough: new Set(),
    held: new Map(),
    exports: new Map(),
    blocked: new Set(),
    choices: setup.choices,
  });
  for (const { disk, verdict } of disks) {
    const what = verdict.kind === "export" ? verdict.names.nqn : `- ${verdict.reason.text}`;
    const size = formatDecimalSize(disk.sizeBytes).padStart(8);
    process.stdout.write(`${disk.name.padEnd(10)} ${size}  ${what}\n`);
  }
}

/** For the next daemon; this one goes on without. */
function keep(files: JsonDirectory, name: string, value: unknown, mode?: number): void {
  try {
    files.write(name, value, mode);
  } catch (error) {
    log("problem", { topic: "state", text: String(error) });
  }
}

/** Everything that shows or keeps a state. */
function createPublisher(
  notifier: Notifier,
  files: JsonDirectory,
  announcer: Announcer,
  terminals: Terminals,
) {
  let ready = false;
  return (state: State): void => {
    terminals.show(state);
    keep(files, stateFile, state);
    const exported = state.disks.filter((row) => row.state.kind === "exported").length;
    const status = `--status=${exported} of ${state.disks.length} disks exported`;
    notifier.send(...(ready ? [] : ["--ready"]), status);
    ready = true;
    events.add("state", {}, new Date());
    const { box, version, access } = state;
    const name = { short: state.name, full: state.fullName };
    announcer.announce({ name, box, version, access, disks: exported });
  };
}

function createWorld(
  root: string,
  notifier: Notifier,
  softTarget: SoftTarget,
  announcer: Announcer,
  terminals: Terminals,
  lockTold: (name: string, locked: boolean) => void,
): World {
  const directory = nvmetDirectory(root);
  const files = new JsonDirectory(join(root, runDirectory));
  const locks = new DiskLocks(root);
  const kernelLog = new KernelLog(root);
  const keyring = new TlsKeyring();
  let locking = Promise.resolve();
  return {
    listDisks: () => listBlockDevices(root),
    readFacts: (name) => readBlockFacts(root, name),
    target: {
      prepare: () => prepareTarget(root),
      read: () => readFound(directory),
      refresh: (found, nqns) => refreshFound(directory, found, nqns),
      calls: configfsCalls(directory),
    },
    softTarget,
    setTlsKeys: (keys) => keyring.settle(keys),
    saveGrants: (memory) => {
      keep(files, grantsFile, memory, 0o600);
    },
    saveChoices: (memory) => {
      keep(files, choicesFile, memory);
    },
    publish: createPublisher(notifier, files, announcer, terminals),
    saveBootMemory: (memory) => {
      keep(files, bootMemoryFile, memory);
    },
    lockDisks: (disks) => {
      locking = locking.then(() => locks.settle(disks, lockTold));
    },
    kernelMessages: () => kernelLog.read(),
    monotonicMs: () => Number(process.hrtime.bigint()) / 1e6,
    now: () => new Date(),
    log,
  };
}

/** Nobody can come by SSH this early, and what it takes would hold the first disks up. */
const ownerDelayMs = 500;
/** After the first look at the disks, when none of them is exported. */
const ownerDelayMsMax = 10_000;
/** When the first look does not end: a disk does not answer. */
const ownerDelayMsUnknown = 30_000;

/** Calls `act` some time after the first disk is exported, or when none is for a while. */
function whenDisksAreOut(daemon: Daemon, act: () => void, signal: AbortSignal): void {
  let timer: NodeJS.Timeout | undefined;
  let shortestMs = Number.POSITIVE_INFINITY;
  const stop = events.watch(() => {
    const { state } = daemon;
    if (state === null) return;
    const isOut = state.disks.some((row) => row.state.kind === "exported");
    wait(isOut ? ownerDelayMs : ownerDelayMsMax);
  });
  const end = (): void => {
    stop();
    clearTimeout(timer);
  };
  const wait = (delayMs: number): void => {
    if (delayMs >= shortestMs) return;
    shortestMs = delayMs;
    clearTimeout(timer);
    timer = setTimeout(() => {
      end();
      act();
    }, delayMs);
  };
  signal.addEventListener("abort", end, { once: true });
  wait(ownerDelayMsUnknown);
}

function run(root: string, setup: OwnerSetup): void {
  const notifier = new Notifier(process.env.NOTIFY_SOCKET !== undefined);
  const companions = new AbortController();
  const softTarget = new SoftTarget({ root, ipv6: hasIpv6(root), log, port: readOnlyPort });
  const announcer = new Announcer(root, log);
  announcer.setHostName(setup.name.short);
  let keyboard: Keyboard | null = null;
  const terminals = new Terminals(root, (text) => keyboard?.press(text));
  const world = createWorld(root, notifier, softTarget, announcer, terminals, (name, locked) => {
    const problem = `${name} is exported while another program on this box uses it.`;
    daemon.setProblem(`lock ${name}`, locked ? null : problem);
  });
  const daemon = new Daemon(setup, world);
  log("started", { version: setup.version, box: setup.box, name: setup.name.short });
  daemon.rescan();
  const serve = async (): Promise<void> => {
    const { serveOwner } = await import("./driver-owner.ts");
    const owner = { root, setup, daemon, softTarget, terminals, events, log };
    keyboard = serveOwner(owner, companions.signal);
    watchRefusals(
      (text) => log("kernel", { text }),
      (message) => daemon.setProblem("kernel log", message),
      companions.signal,
    );
  };
  whenDisksAreOut(daemon, () => void serve(), companions.signal);
  watchBlockDevices(
    {
      event: (event) => daemon.handle(event),
      listening: () => {
        daemon.setProblem("udev", null);
        daemon.rescan();
      },
      died: (message) => daemon.setProblem("udev", message),
    },
    companions.signal,
  );
  watchAddresses(
    (addresses) => daemon.setAddresses(addresses),
    (message) => daemon.setProblem("network", message),
    companions.signal,
  );
  let stopping = false;
  const stop = async (): Promise<void> => {
    if (stopping) {
      return;
    }
    stopping = true;
    const reason = await askStopReason();
    log("stopping", { reason });
    notifier.send("--stopping");
    companions.abort();
    await daemon.stop(reason === "stop");
    process.exit(0);
  };
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => void stop());
  }
}

const { values } = parseArgs({
  options: {
    root: { type: "string", default: "/" },
    "list-devices": { type: "boolean", default: false },
  },
});
await mountEfiVariables(values.root);
const setup = await readSetup(values.root);
if (values["list-devices"]) {
  listDevices(values.root, setup);
} else {
  run(values.root, setup);
}
