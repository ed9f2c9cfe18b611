/** Where a disk's EFI loader is: in the EFI system partition of its GPT. */
import { type BlockDevice, BlockError } from "../block/index.ts";
import {
  type FatVolume,
  type GptPartition,
  inspectGpt,
  openFat,
  partitionTypes,
} from "../disk/index.ts";
import { RpcError } from "../rpc/index.ts";
import type { LoaderPlace } from "./boot-option.ts";

/** What firmware loads from a disk by itself (UEFI 2.11, 3.5.1.1), by Node's name of the machine. */
const defaultLoaders: Readonly<Record<string, string>> = {
  x64: "BOOTX64.EFI",
  arm64: "BOOTAA64.EFI",
};
const ukiFolder = "EFI/Linux";

/**
 * The loader of a disk.
 * @throws RpcError `refused` that says what was looked for and what is there.
 */
export async function findLoader(
  device: BlockDevice,
  disk: string,
  architecture: string,
): Promise<LoaderPlace> {
  const refuse = (why: string) =>
    new RpcError("refused", `Cannot boot ${disk}: ${why} Flash an image that boots by EFI.`, {
      reason: "no-loader",
      disk,
    });
  const { gpt, sectorSizeBytes, damage } = await inspectGpt(device);
  if (gpt === undefined) throw refuse("it has no GUID partition table.");
  if (sectorSizeBytes !== device.blockSizeBytes) {
    throw refuse(
      `its partition table is for sectors of ${sectorSizeBytes} bytes, and it has ` +
        `${device.blockSizeBytes}.`,
    );
  }
  const [fault] = damage.filter(({ part }) => part === "primary");
  if (fault !== undefined) throw refuse(`its partition table is damaged (${fault.reason}).`);
  const systems = gpt.partitions.filter(({ typeGuid }) => typeGuid === partitionTypes.efiSystem);
  if (systems.length === 0) throw refuse("it has no EFI system partition.");
  const faults: string[] = [];
  for (const partition of systems) {
    const found = await findFile(device, partition, sectorSizeBytes, architecture);
    if ("fault" in found) faults.push(`partition ${partition.number}: ${found.fault}`);
    else return placeOf(partition, found.file);
  }
  throw refuse(`its EFI system partition has no loader (${faults.join("; ")}).`);
}

/** Disks, by name, that have a partition of this GUID too. */
export async function findTwins(
  partUuid: string,
  others: readonly string[],
  open: (name: string) => Promise<BlockDevice>,
): Promise<readonly string[]> {
  const twins: string[] = [];
  for (const name of others) {
    try {
      await using device = await open(name);
      const { gpt } = await inspectGpt(device);
      if (gpt?.partitions.some(({ guid }) => guid === partUuid)) twins.push(name);
    } catch {
      // What cannot be read cannot be booted from.
    }
  }
  return twins;
}

function placeOf({ number, firstLba, lastLba, guid }: GptPartition, file: string): LoaderPlace {
  return { partition: number, firstLba, sectors: lastLba + 1 - firstLba, partUuid: guid, file };
}

async function findFile(
  device: BlockDevice,
  { firstLba }: GptPartition,
  sectorBytes: number,
  architecture: string,
): Promise<{ readonly file: string } | { readonly fault: string }> {
  const loader = defaultLoaders[architecture];
  if (loader === undefined)
    return { fault: `nothing is known of machines of kind ${architecture}` };
  try {
    const opened = await openFat(device, firstLba * sectorBytes);
    if (!opened.ok) return { fault: `no FAT file system: ${opened.damage.reason}` };
    const volume = opened.value;
    if ((await filesIn(volume, "EFI/BOOT")).includes(loader)) {
      return { file: `\\EFI\\BOOT\\${loader}` };
    }
    const kernels = await kernelsIn(volume);
    const [kernel, ...others] = kernels;
    if (kernel === undefined)
      return { fault: `neither \\EFI\\BOOT\\${loader} nor \\EFI\\Linux\\*.efi` };
    if (others.length === 0) return { file: kernel };
    return { fault: `no \\EFI\\BOOT\\${loader}, and ${kernels.length} files in \\EFI\\Linux` };
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    return { fault: error.message };
  }
}

/** Programs in `\EFI\Linux`, as the firmware names files. */
export async function kernelsIn(volume: FatVolume): Promise<readonly string[]> {
  const names = (await filesIn(volume, ukiFolder)).filter((name) => name.endsWith(".EFI"));
  return names.map((name) => `\\EFI\\Linux\\${name}`);
}

/** Names in upper case; FAT does not tell them apart. */
async function filesIn(volume: FatVolume, folder: string): Promise<readonly string[]> {
  const found = await volume.list(folder);
  if (!found.ok) return [];
  return found.value.filter(({ type }) => type === "file").map(({ name }) => name.toUpperCase());
}
