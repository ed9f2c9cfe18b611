/** `--kexec`: what is not as in a boot by the firmware, and what speaks against it. */

import type { BootState, Result } from "../rpc/index.ts";
import { printJson, tell } from "./console.ts";
import { RefusedError } from "./exit.ts";

/** One respect in which a kernel that another one starts is not a machine that boots. */
interface Difference {
  readonly topic: string;
  readonly text: string;
}

const differences: readonly Difference[] = [
  {
    topic: "firmware",
    text: "the firmware does not run: what it or its settings do wrong with the image is not seen",
  },
  {
    topic: "boot-loader",
    text:
      "no boot loader and no stub runs: no menu, no boot counting, no add-ons, credentials or " +
      "extensions from beside the image's file",
  },
  {
    topic: "measurements",
    text: "the TPM measures nothing of the image: its PCRs are those of the box's boot",
  },
  {
    topic: "loader-variables",
    text:
      "variables such as LoaderDevicePartUUID are those of the box's boot: an image that finds " +
      "its disk by them (root=gpt-auto does) finds the box's medium",
  },
  {
    topic: "random-seed",
    text: "the kernel's random seed comes from the box's kernel, and from no loader",
  },
  {
    topic: "devices",
    text: "devices are as the box's drivers left them, and the screen as the firmware set it up",
  },
];

/** Tells all of them, once for a command. */
export function tellDifferences(isJson: boolean): void {
  if (isJson) {
    printJson({ event: "kexec", differences });
    return;
  }
  tell("--kexec is not the same as a real boot:");
  for (const { text } of differences) tell(`  - ${text}`);
}

/**
 * Before anything is written.
 * @throws RefusedError where the box would not do it
 */
export function refuseKexec(box: string, { kexecObstacle }: BootState): void {
  if (kexecObstacle === null) return;
  const why = kexecObstacle ?? "its image is older than this; build it anew and boot it from that";
  throw new RefusedError(
    `${box} cannot start another kernel: ${why}. Without --kexec the firmware boots the disk.`,
  );
}

/** Why it is not what the firmware would load; no lines where it is. */
export function describePassedOver({ path, kexec }: Result<"bootOnce">): string[] {
  if (!kexec?.passedOver) return [];
  return [`${path} is taken, and not what firmware loads. ${kexec.passedOver}.`];
}
