/**
 * The Linux kernel's own target, nvmet, in a probe: set up through configfs as tests want it, and
 * reached over forwarded ports of this machine.
 */

import type { TlsPsk } from "../src/nvme/index.ts";
import { makeScratchDisk, makeScratchFolder, startVm, type Vm } from "../src/vm/index.ts";
import { build, stickOf } from "./driver-box.ts";
import { Probe } from "./driver-probe.ts";

const nvmet = "/sys/kernel/config/nvmet";
const nullb = "/sys/kernel/config/nullb";
const mebibyte = 1024 * 1024;
/** The virtual disk of the machine, whose file lies on this one. */
export const scratchDevice = "/dev/vda";

/** What a namespace is made of. */
export interface KernelNamespace {
  readonly nsid: number;
  /** A block device or a file of the probe. */
  readonly path: string;
  readonly uuid?: string;
  readonly nguid?: string;
  readonly anaGroup?: number;
}

/** Attributes of a subsystem or a port: name of the file → what is written to it. */
export type Attributes = Readonly<Record<string, string | number>>;

/** A booted probe whose kernel is a target. */
export class KernelTarget implements AsyncDisposable {
  readonly vm: Vm;
  #probe: Probe;
  /** File of this machine that the probe has as `scratchDevice`. */
  readonly scratchPath: string;
  readonly #owned: AsyncDisposable;

  /** Builds the probe, boots it, and loads the target. */
  static async boot(name: string): Promise<KernelTarget> {
    await using owned = new AsyncDisposableStack();
    const images = owned.use(await makeScratchFolder());
    const scratch = owned.use(await makeScratchDisk(64 * mebibyte));
    await build("probe", images.path);
    const disk = { id: "scratch", kind: "virtio-blk", path: scratch.path } as const;
    const vm = await startVm({
      name,
      memoryMiB: 1024,
      disks: [stickOf(images.path, "probe"), disk],
      nics: [{ network: { kind: "user", isolated: true } }],
    });
    owned.use(vm);
    const probe = await prepare(vm);
    return new KernelTarget(vm, probe, scratch.path, owned.move());
  }

  /** Loads the target in a probe that runs; it stays its owner's. */
  static async in(vm: Vm, probe: Probe, scratchPath: string): Promise<KernelTarget> {
    await loadTarget(probe);
    return new KernelTarget(vm, probe, scratchPath, { [Symbol.asyncDispose]: async () => {} });
  }

  private constructor(vm: Vm, probe: Probe, scratchPath: string, owned: AsyncDisposable) {
    this.vm = vm;
    this.#probe = probe;
    this.scratchPath = scratchPath;
    this.#owned = owned;
  }

  get probe(): Probe {
    return this.#probe;
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#owned[Symbol.asyncDispose]();
  }

  /** Resets the machine in the middle of what it does; the target is empty when it is back. */
  async reset(): Promise<void> {
    const after = this.vm.serialEnd;
    await this.vm.reset();
    this.#probe = await prepare(this.vm, after);
  }

  /** A disk of memory; returns its path. Blocks of `badSectors` (512 bytes each) cannot be read. */
  async makeMemoryDisk(name: string, blockSizeBytes: number, badSectors = ""): Promise<string> {
    await this.probe.succeed(
      [
        `mkdir ${nullb}/${name} && cd ${nullb}/${name}`,
        ...["size 64", "memory_backed 1", "discard 1", `blocksize ${blockSizeBytes}`].map(write),
        ...(badSectors === "" ? [] : [write(`badblocks +${badSectors}`)]),
        write("power 1"),
        `test -b /dev/${name}`,
      ].join(" && "),
    );
    return `/dev/${name}`;
  }

  /** A file in memory; returns its path. */
  async makeFile(name: string): Promise<string> {
    await this.probe.succeed(`truncate -s 64M /run/${name}`);
    return `/run/${name}`;
  }

  /** A file in memory as a block device; returns its path. */
  async makeLoop(name: string, blockSizeBytes: number): Promise<string> {
    const file = await this.makeFile(name);
    return this.probe.succeed(`losetup --find --show --sector-size ${blockSizeBytes} ${file}`);
  }

  /** Makes a subsystem that every host may use, unless its attributes say otherwise. */
  async addSubsystem(nqn: string, attributes: Attributes = {}): Promise<void> {
    const all = { attr_allow_any_host: 1, ...attributes };
    const folder = `${nvmet}/subsystems/${nqn}`;
    await this.probe.succeed([`mkdir ${folder} && cd ${folder}`, ...writes(all)].join(" && "));
  }

  async addNamespace(nqn: string, namespace: KernelNamespace): Promise<void> {
    const { nsid, path, uuid, nguid, anaGroup } = namespace;
    const folder = `${nvmet}/subsystems/${nqn}/namespaces/${nsid}`;
    await this.probe.succeed(
      [
        `mkdir ${folder} && cd ${folder}`,
        ...writes({
          device_path: path,
          ...(uuid ? { device_uuid: uuid } : {}),
          ...(nguid ? { device_nguid: nguid } : {}),
          ...(anaGroup ? { ana_grpid: anaGroup } : {}),
          enable: 1,
        }),
      ].join(" && "),
    );
  }

  /** Writes attributes of a namespace. */
  async setNamespace(nqn: string, nsid: number, attributes: Attributes): Promise<void> {
    const folder = `${nvmet}/subsystems/${nqn}/namespaces/${nsid}`;
    await this.probe.succeed([`cd ${folder}`, ...writes(attributes)].join(" && "));
  }

  /** Makes a TCP port; it listens while it serves a subsystem. Returns the port of this machine. */
  async addPort(id: number, guestPort: number, attributes: Attributes = {}): Promise<number> {
    const address = { addr_trtype: "tcp", addr_adrfam: "ipv4", addr_traddr: "0.0.0.0" };
    const all = { ...address, addr_trsvcid: guestPort, ...attributes };
    const folder = `${nvmet}/ports/${id}`;
    await this.probe.succeed([`mkdir ${folder} && cd ${folder}`, ...writes(all)].join(" && "));
    return this.vm.forward(guestPort);
  }

  /** Lets a port serve subsystems; the first one makes it listen. */
  async serve(port: number, ...nqns: readonly string[]): Promise<void> {
    const links = nqns.map(
      (nqn) => `ln -s ${nvmet}/subsystems/${nqn} ${nvmet}/ports/${port}/subsystems/`,
    );
    await this.probe.succeed(links.join(" && "));
  }

  /** Ends that; all connections of the port end, and with the last one the listening. */
  async stopServing(port: number, nqn: string): Promise<void> {
    await this.probe.succeed(`rm ${nvmet}/ports/${port}/subsystems/${nqn}`);
  }

  /** Lets a port tell of another discovery service. */
  async refer(port: number, name: string, attributes: Attributes): Promise<void> {
    const folder = `${nvmet}/ports/${port}/referrals/${name}`;
    const all = { ...attributes, enable: 1 };
    await this.probe.succeed([`mkdir ${folder} && cd ${folder}`, ...writes(all)].join(" && "));
  }

  /** Sets the ANA state of a group on a port: `optimized`, `inaccessible`, … */
  async setAnaState(port: number, group: number, state: string): Promise<void> {
    const folder = `${nvmet}/ports/${port}/ana_groups/${group}`;
    await this.probe.succeed(
      `mkdir -p ${folder} && cd ${folder} && ${write(`ana_state ${state}`)}`,
    );
  }

  /** Makes a host known to a subsystem that is not open to all. */
  async allowHost(nqn: string, hostNqn: string, attributes: Attributes = {}): Promise<void> {
    await this.probe.succeed(`mkdir ${nvmet}/hosts/${hostNqn}`);
    await this.setHost(hostNqn, attributes);
    const link = `${nvmet}/subsystems/${nqn}/allowed_hosts/`;
    await this.probe.succeed(`ln -s ${nvmet}/hosts/${hostNqn} ${link}`);
  }

  /** Writes attributes of a host: its keys, hash and group. */
  async setHost(hostNqn: string, attributes: Attributes): Promise<void> {
    const folder = `${nvmet}/hosts/${hostNqn}`;
    await this.probe.succeed([`cd ${folder}`, ...writes(attributes)].join(" && "));
  }

  /** Gives the kernel these TLS keys, and no other ones. */
  async setTlsKeys(psks: readonly TlsPsk[]): Promise<void> {
    const adds = psks.map(({ identity, key }) => {
      const bytes = Buffer.from(key).toString("hex").replaceAll(/../g, "\\x$&");
      return `printf '${bytes}' | keyctl padd psk '${identity}' %:.nvme`;
    });
    await this.probe.succeed(["keyctl clear %:.nvme", ...adds].join(" && "));
  }

  /** Pulls the network's cable, or puts it back; nobody is told. */
  async setCable(isPlugged: boolean): Promise<void> {
    await this.vm.qmp.execute("set_link", { name: "nic0", up: isPlugged });
  }

  /** Stops the machine as it is, or lets it go on. */
  async setPaused(isPaused: boolean): Promise<void> {
    await this.vm.qmp.execute(isPaused ? "stop" : "cont");
  }
}

/** Waits for the shell, and makes the probe a target that is on QEMU's network. */
async function prepare(vm: Vm, after = 0): Promise<Probe> {
  const probe = await Probe.of(vm, after);
  await probe.useForwardedAddress();
  await loadTarget(probe);
  return probe;
}

async function loadTarget(probe: Probe): Promise<void> {
  await probe.succeed("modprobe -a nvmet nvmet-tcp loop && modprobe null_blk nr_devices=0");
  await probe.until(`test -d ${nvmet} && test -d ${nullb}`);
}

/** `NAME VALUE` as a command that writes the value to the file. */
function write(line: string): string {
  const at = line.indexOf(" ");
  return `echo '${line.slice(at + 1)}' >${line.slice(0, at)}`;
}

function writes(attributes: Attributes): string[] {
  return Object.entries(attributes).map(([name, value]) => write(`${name} ${value}`));
}
