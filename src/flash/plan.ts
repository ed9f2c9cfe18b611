/** What speaks against writing an image to a disk: all of it at once, before the first byte. */

import type { ImageFacts } from "./image.ts";
import type { DiskFacts } from "./look.ts";
import { formatSize } from "./size.ts";
import { type DiskIdentity, identityChange, isSameDisk } from "./target.ts";

/** Why a disk is not written. */
export type RefusalCode =
  | "too-small"
  | "sector-size"
  | "saved-block-size"
  | "in-use"
  | "read-only"
  | "identity-changed"
  | "checksum-missing"
  | "duplicate-target"
  | "same-disk"
  | "nothing-to-grow"
  | "wrong-confirmation"
  | "needs-confirmation";

/** One reason, and what to do. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
}

/** What of a target the plan goes by. */
export interface PlanTarget {
  readonly name: string;
  /** Who it was when it was chosen, and who it is now. */
  readonly chosen: DiskIdentity;
  readonly found: DiskIdentity;
  readonly readOnly: boolean;
  readonly inUseBy: string | undefined;
  /** Somebody has confirmed this very disk before, and it was written then. */
  readonly isConfirmed?: boolean;
  readonly facts: DiskFacts;
}

/** What the user asks for. */
export interface PlanOptions {
  /** What was given with `--confirm`: serial numbers, or their last four characters. */
  readonly confirmed: readonly string[];
  /** `--yes`: disks that this program wrote need no confirmation. */
  readonly isYes: boolean;
  /**
   * Disks whose table was edited since this program wrote them are among those: images that grow
   * when they first boot do that. Elsewhere it is what an installed system does, which is its user's.
   */
  readonly isEditedOurs?: boolean;
  /** `--require-checksum`. */
  readonly needsChecksum: boolean;
  readonly isGrown: boolean;
  readonly isVerified: boolean;
  /** The disk that the image is read from, when it is one. */
  readonly source?: DiskIdentity;
}

/** What will be done to one disk, or why nothing will. */
export type Plan =
  | { readonly kind: "refused"; readonly refusals: readonly Refusal[] }
  | {
      readonly kind: "steps";
      readonly steps: readonly PlanStep[];
      /** Compare with what is there: it may be the same image, or a part of it. */
      readonly isComparing: boolean;
      readonly notes: readonly string[];
    };

/** In this order. */
export type PlanStep =
  | "confirm-identity"
  | "clear-ends"
  | "write-body"
  | "flush"
  | "verify-body"
  | "write-ends"
  | "verify-ends";

/** Plans for several disks that get the same image; one plan for each, in their order. */
export function planFlash(
  image: ImageFacts,
  targets: readonly PlanTarget[],
  options: PlanOptions,
): Plan[] {
  return targets.map((target, index) => {
    const isTwice = targets.slice(0, index).some(({ found }) => isSameDisk(found, target.found));
    return planOne(image, target, options, isTwice);
  });
}

function planOne(
  image: ImageFacts,
  target: PlanTarget,
  options: PlanOptions,
  isTwice: boolean,
): Plan {
  const refusals = [
    ...(isTwice ? [refusal("duplicate-target", target, "it is named twice. Name it once.")] : []),
    ...refuseIdentity(target),
    ...refuseItself(image, target, options),
    ...refuseShape(image, target),
    ...refuseUse(target),
    ...refuseImage(image, target, options),
    ...refuseConfirmation(target, options),
  ];
  if (refusals.length > 0) return { kind: "refused", refusals };
  const { kind } = target.facts.ownership;
  const steps: PlanStep[] = ["confirm-identity", "clear-ends", "write-body", "flush"];
  if (options.isVerified) steps.push("verify-body");
  steps.push("write-ends");
  if (options.isVerified) steps.push("verify-ends");
  const notes = [...image.notes];
  if (!options.isVerified) notes.push("what is written is not verified (--no-verify)");
  if (image.checkedBy.length === 0)
    notes.push("no checksum or signature beside the image was checked");
  if (image.diskGuid !== undefined && image.diskGuid === target.facts.diskGuid && kind !== "ours") {
    notes.push("the disk carries the image's disk GUID already");
  }
  return { kind: "steps", steps, isComparing: kind !== "blank" && kind !== "foreign", notes };
}

function refuseIdentity(target: PlanTarget): Refusal[] {
  const change = identityChange(target.chosen, target.found);
  if (change === undefined) return [];
  const way = `another disk is there now, ${change}. List the disks again.`;
  return [refusal("identity-changed", target, way)];
}

function refuseItself(image: ImageFacts, target: PlanTarget, { source }: PlanOptions): Refusal[] {
  if (image.place !== undefined && image.place === target.found.place) {
    return [refusal("same-disk", target, "it is the image itself. Name another one.")];
  }
  if (!source || !isSameDisk(source, target.found)) return [];
  return [refusal("same-disk", target, "it is the disk to copy from. Name another one.")];
}

function refuseShape(image: ImageFacts, target: PlanTarget): Refusal[] {
  const { sizeBytes, blockSizeBytes } = target.found;
  const refusals: Refusal[] = [];
  const needed = image.sizeBytes ?? image.sizeBytesMin;
  if (needed > sizeBytes) {
    const atLeast = image.sizeBytes === undefined ? "at least " : "";
    const found = `the image is ${atLeast}${formatSize(needed)} (${needed} bytes) and the disk`;
    const has = `${formatSize(sizeBytes)} (${sizeBytes} bytes). Choose a larger disk.`;
    refusals.push(refusal("too-small", target, `${found} ${has}`));
  }
  const { sectorSizeBytes, savedBlockBytes } = image;
  if (sectorSizeBytes !== undefined && sectorSizeBytes !== blockSizeBytes) {
    refusals.push(
      refusal(
        "sector-size",
        target,
        `the image's partition table is made for sectors of ${sectorSizeBytes} bytes, and the ` +
          `disk has ${blockSizeBytes}: nothing would find its partitions. Take an image for ` +
          `${blockSizeBytes}-byte sectors (such as a 4k variant), choose a disk with ` +
          `${sectorSizeBytes}, or reformat this one where it can (nvme format --lbaf).`,
      ),
    );
  } else if (savedBlockBytes !== undefined && savedBlockBytes !== blockSizeBytes) {
    refusals.push(
      refusal(
        "saved-block-size",
        target,
        `the image was saved from a disk with blocks of ${savedBlockBytes} bytes, and this one ` +
          `has ${blockSizeBytes}. Choose a disk of the same kind.`,
      ),
    );
  }
  return refusals;
}

function refuseUse(target: PlanTarget): Refusal[] {
  const refusals: Refusal[] = [];
  if (target.readOnly) {
    const way = "it is write protected. Take the protection away, or choose another.";
    refusals.push(refusal("read-only", target, way));
  }
  if (target.inUseBy !== undefined) {
    const way = `it is in use: ${target.inUseBy}. End that first.`;
    refusals.push(refusal("in-use", target, way));
  }
  return refusals;
}

function refuseImage(image: ImageFacts, target: PlanTarget, options: PlanOptions): Refusal[] {
  const refusals: Refusal[] = [];
  if (options.needsChecksum && image.checkedBy.length === 0) {
    const way =
      `nothing beside ${image.name} vouches for it. Put ${image.name}.sha256 or a block map ` +
      "next to it, or leave --require-checksum out.";
    refusals.push(refusal("checksum-missing", target, way));
  }
  if (options.isGrown && image.sectorSizeBytes === undefined) {
    const way = "the image has no GPT whose last partition could grow. Leave --grow out.";
    refusals.push(refusal("nothing-to-grow", target, way));
  }
  return refusals;
}

function refuseConfirmation(target: PlanTarget, options: PlanOptions): Refusal[] {
  const { kind } = target.facts.ownership;
  if (kind === "blank" || target.isConfirmed) return [];
  const { serial } = target.found;
  if (options.confirmed.some((given) => confirms(serial, given))) return [];
  const isOurs = kind !== "foreign" && (kind !== "edited" || options.isEditedOurs === true);
  if (options.isYes && isOurs) return [];
  const held = `it holds ${target.facts.contents}`;
  if (options.confirmed.length > 0) {
    const way =
      `${held}, and its serial number is ${serial}, not ${options.confirmed.join(" or ")}. ` +
      `If it is the right one: --confirm=${serial}`;
    return [refusal("wrong-confirmation", target, way)];
  }
  const limit =
    kind === "edited"
      ? "; its partition table was edited since diskomator wrote it, which --yes does not cover"
      : "; --yes is only for disks that diskomator wrote";
  const why = options.isYes ? limit : "";
  const way = `${held}, and all of it would be lost${why}. To go on: --confirm=${serial}`;
  return [refusal("needs-confirmation", target, way)];
}

/** Characters of a serial number that stand for it. */
const confirmationLength = 4;

/** Whether what was given or typed names the disk: its serial number, or its last 4 characters. */
export function confirms(serial: string, given: string): boolean {
  const typed = given.trim();
  if (typed === "" || serial === "") return false;
  return typed === serial || typed === confirmationHint(serial);
}

/** What is to be typed for a disk. */
export function confirmationHint(serial: string): string {
  return serial.slice(-confirmationLength);
}

function refusal(code: RefusalCode, { name }: PlanTarget, why: string): Refusal {
  return { code, message: `Cannot flash ${name}: ${why}` };
}
