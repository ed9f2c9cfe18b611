/** Makes the kernel's target usable: modules, configfs, and IPv6 sockets that leave IPv4 alone. */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nvmetDirectory } from "./driver-configfs.ts";
import { hasEfiVariables } from "./driver-files.ts";
import { runTool } from "./driver-process.ts";
import { ApplianceError } from "./error.ts";

/** Loading modules from a slow machine's memory takes seconds; more than this is a hang. */
const toolTimeoutMs = 60_000;

/** nvme-keyring comes first: a port finds the keyring when it is made, or never. */
const modules = ["configfs", "nvme-keyring", "nvmet", "nvmet-tcp"];

/**
 * Loads and mounts what is not there yet.
 * @throws ApplianceError `module` when the target does not appear
 */
export async function prepareTarget(root: string): Promise<void> {
  const directory = nvmetDirectory(root);
  const configfs = join(root, "sys/kernel/config");
  try {
    if (!existsSync(join(root, "sys/module/nvmet_tcp")) || !existsSync(directory)) {
      await runTool("modprobe", ["-a", ...modules], toolTimeoutMs);
    }
    if (!existsSync(directory)) {
      await runTool("mount", ["-t", "configfs", "configfs", configfs], toolTimeoutMs);
    }
  } catch (error) {
    if (!existsSync(directory)) {
      throw missing(directory, error);
    }
  }
  if (!existsSync(directory)) {
    throw missing(directory, null);
  }
  await writeFile(join(root, "proc/sys/net/ipv6/bindv6only"), "1").catch(() => {});
}

/** Mounts EFI variables where the firmware has them and systemd did not; then they may be read. */
export async function mountEfiVariables(root: string): Promise<void> {
  const variables = join(root, "sys/firmware/efi/efivars");
  if (existsSync(variables) && !hasEfiVariables(root)) {
    const options = ["-t", "efivarfs", "-o", "ro", "efivarfs", variables];
    await runTool("mount", options, toolTimeoutMs).catch(() => "");
  }
}

function missing(directory: string, cause: unknown): ApplianceError {
  const message =
    `Cannot reach the kernel's NVMe target: ${directory} does not exist. ` +
    "The image needs the modules configfs, nvmet and nvmet-tcp.";
  return new ApplianceError("module", message, { directory }, { cause });
}
