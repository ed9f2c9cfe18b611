/** For tests: a folder that looks like a machine's firmware, and a disk that boots. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { MemoryDisk } from "../../block/index.ts";
import {
  assembleExtents,
  encodeGpt,
  type FatNode,
  fatSize,
  partitionTypes,
  planFat,
  planGpt,
  shiftExtents,
} from "../../disk/index.ts";
import { encodeLoadOption, encodeNumbers } from "../boot-option.ts";
import { BootControl, type BootOnceRequest } from "../driver-boot-control.ts";
import { globalVendor, loaderVendor } from "../efi-names.ts";

/** When all of it happens. */
export const at = new Date("2026-11-23T12:00:00.000Z");
const bootCounter = "MTC-eb704011-1402-11d3-8e77-00a0c969723b";
/** Of the partition with the loader. */
export const partUuid = "7c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";
/** Where the disk is, below /sys. */
export const nvmePath = "/devices/pci0000:00/0000:00:01.1/0000:01:00.0/nvme/nvme0/nvme0n1";
const end = Uint8Array.of(0x7f, 0xff, 4, 0);
export const mebibyte = 1024 * 1024;
const diskBytes = 32 * mebibyte;

/** A machine below a folder: its variables, and what the box keeps until it ends. */
export class Machine implements AsyncDisposable {
  readonly root: string;
  readonly #efi: string;

  static async make(): Promise<Machine> {
    const machine = new Machine(await mkdtemp(join(tmpdir(), "diskomator-efi-")));
    await mkdir(machine.#efi, { recursive: true });
    for (const [name, description] of [
      ["Boot0001", "stick"],
      ["Boot0002", "disk"],
    ] as const) {
      await machine.put(name, encodeLoadOption({ attributes: 1, description, path: end }));
    }
    await machine.put("BootCurrent", encodeNumbers([1]));
    await machine.put("BootOrder", encodeNumbers([1, 2]));
    await machine.count(5);
    return machine;
  }

  private constructor(root: string) {
    this.root = root;
    this.#efi = join(root, "sys/firmware/efi/efivars");
  }

  async put(name: string, data: Uint8Array, vendor = globalVendor): Promise<void> {
    const bytes = Buffer.concat([Uint8Array.of(7, 0, 0, 0), data]);
    await writeFile(join(this.#efi, `${name}-${vendor}`), bytes);
  }

  async count(boots: number): Promise<void> {
    await writeFile(join(this.#efi, bootCounter), Uint8Array.of(7, 0, 0, 0, boots, 0, 0, 0));
  }

  async get(name: string): Promise<Uint8Array> {
    return (await readFile(join(this.#efi, `${name}-${globalVendor}`))).subarray(4);
  }

  async names(): Promise<readonly string[]> {
    return (await readdir(this.#efi)).map((name) => name.slice(0, name.indexOf("-"))).sort();
  }

  /** This variable is not there, and cannot be written. */
  async block(name: string, vendor = globalVendor): Promise<void> {
    await symlink("nowhere/at/all", join(this.#efi, `${name}-${vendor}`));
  }

  /** This variable is there, and cannot be read. */
  async hide(name: string): Promise<void> {
    const path = join(this.#efi, `${name}-${globalVendor}`);
    await rm(path, { force: true });
    await mkdir(path);
  }

  /** It was loaded from this partition. */
  async loadFrom(partition: string): Promise<void> {
    const text = Buffer.from(`${partition.toUpperCase()}\0`, "utf16le");
    await this.put("LoaderDevicePartUUID", text, loaderVendor);
  }

  /** The machine was reset: the firmware has used BootNext, and the box is back. */
  async reset(boots: number): Promise<void> {
    await rm(join(this.#efi, `BootNext-${globalVendor}`), { force: true });
    await this.count(boots);
  }

  /** What the kernel says in a file below the root. */
  async say(path: string, text: string): Promise<void> {
    await mkdir(dirname(join(this.root, path)), { recursive: true });
    await writeFile(join(this.root, path), text);
  }

  /** A daemon that starts. */
  control(logged: string[] = []): BootControl {
    return new BootControl(
      this.root,
      (event, fields) => logged.push(`${event} ${JSON.stringify(fields)}`),
      () => at,
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.root, { recursive: true });
  }
}

/** A disk with an EFI system partition that holds these files in `\EFI`. */
export async function diskWith(
  files: readonly string[] | Readonly<Record<string, Uint8Array>>,
  type = partitionTypes.efiSystem as string,
) {
  const contents: Readonly<Record<string, Uint8Array>> = Array.isArray(files)
    ? Object.fromEntries(files.map((file) => [file, new Uint8Array(16)]))
    : files;
  const root = treeOf(Object.entries(contents).map(([path, data]) => [path.split("/"), data]));
  const sizeBytes = fatSize(root, 512, mebibyte);
  const gpt = planGpt({
    sizeBytes: diskBytes,
    sectorSizeBytes: 512 as const,
    diskGuid: "6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90",
    partitions: [{ typeGuid: type, guid: partUuid, name: "ESP", sizeBytes }],
  });
  const start = gpt.partitions[0]!.firstLba * 512;
  const volume = planFat({
    sizeBytes,
    sectorSizeBytes: 512 as const,
    hiddenSectors: start / 512,
    volumeId: 1,
    label: "ESP",
    epochSeconds: 0,
    root,
  });
  const { mbr, primary, backup } = encodeGpt(gpt);
  const extents = [mbr, ...primary, ...backup, ...shiftExtents(volume.extents, start)];
  const disk = new MemoryDisk({ sizeBytes: diskBytes });
  await disk.write(0, assembleExtents(extents, diskBytes));
  return disk;
}

/** Folders and files by their paths. */
function treeOf(files: readonly (readonly [path: readonly string[], data: Uint8Array])[]) {
  const names = new Set(files.map(([[name = ""]]) => name));
  return [...names].map((name): FatNode => {
    const inside = files.filter(([[first]]) => first === name);
    const [[path, data]] = inside as [(typeof files)[number]];
    if (path.length === 1) return { type: "file", name, chunks: [data] };
    const children = treeOf(inside.map(([[, ...rest], one]) => [rest, one] as const));
    return { type: "directory", name, children };
  });
}

const usual = ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTAA64.EFI"] as const;

/** What is asked of the box; changes win. */
export async function request(
  changes: Partial<BootOnceRequest> & { readonly device?: MemoryDisk } = {},
): Promise<BootOnceRequest> {
  const device = changes.device ?? (await diskWith([usual[process.arch === "arm64" ? 1 : 0]]));
  return {
    disk: { name: "nvme0n1", serial: "S6Z1NJ0W1", devicePath: nvmePath },
    others: [],
    open: async () => device,
    run: "6c0f57bd-7e5c",
    noReturn: false,
    kexec: false,
    appendEntry: false,
    now: at,
    ...changes,
  };
}
