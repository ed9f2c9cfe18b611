/** Power that goes while a box's disk is flashed or run, at random points of a fixed seed. */

import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunBox } from "./driver-run-box.ts";

const sectorBytes = 512;
/** Of which a flash compares digests. */
const unitBytes = 64 * 1024;
/** What `run` may take beyond `flash`, until one has shown it: down, the image's boot, the box's. */
const awayMsGuess = 90_000;

/** What the power was cut from. */
export type CutKind = "flash" | "run";

/** One cut, and what was found after it. */
export interface Cut {
  readonly kind: CutKind;
  /** The last event of the command before the power went. */
  readonly during: string;
  /** What lay on the disk then; before `flash` it does not boot. */
  readonly disk: "old" | "new" | "does not boot";
  /** From power to the box's answer. */
  readonly backSeconds: number;
}

/** Cuts the power again and again; `run` of each of two images in turn. */
export class PowerCuts {
  readonly #box: RunBox;
  readonly #images: [string, string];
  readonly #random: () => number;
  /** How long a whole command took last. */
  readonly #wholeMs: Record<CutKind, number>;

  /**
   * Writes both images whole once, to learn how long that takes.
   * @param done so many cuts of this seed were made before
   */
  static async prepare(box: RunBox, seed: number, done = 0): Promise<PowerCuts> {
    const images: [string, string] = [
      await box.imageOf("reboot", "cut-even"),
      await box.imageOf("reboot", "cut-odd"),
    ];
    await box.bootedAt();
    await perform(box, "flash", images[0]);
    await spoil(box, images[0]);
    const flash = await timed(() => perform(box, "flash", images[1]));
    const run = flash + awayMsGuess;
    const random = randomOf(seed);
    for (let n = 0; n < done; n++) random();
    return new PowerCuts(box, images.reverse() as typeof images, random, { flash, run });
  }

  private constructor(
    box: RunBox,
    images: [string, string],
    random: () => number,
    wholeMs: Record<CutKind, number>,
  ) {
    this.#box = box;
    this.#images = images;
    this.#random = random;
    this.#wholeMs = wholeMs;
  }

  /** Cuts once, and has the same command complete afterwards. */
  async cut(kind: CutKind): Promise<Cut> {
    const box = this.#box;
    const [older, newer] = this.#images;
    if (kind === "flash") await spoil(box, newer);
    const afterMs = this.#random() * this.#wholeMs[kind];
    const during = await cutAfter(box, kind, newer, afterMs);
    const disk = await diskState(box, older, newer);
    const startMs = performance.now();
    await box.powerOn();
    await box.bootedAt();
    const backSeconds = (performance.now() - startMs) / 1000;
    this.#wholeMs[kind] = await timed(() => perform(box, kind, newer));
    assert.equal(await holds(box, newer), true, `the rerun after ${during} left another disk`);
    this.#images.reverse();
    return { kind, during, disk, backSeconds };
  }
}

/**
 * Leaves a disk that does not boot and has every other unit of an image, so that a flash has something
 * to write and the box goes while it does.
 */
async function spoil(box: RunBox, image: string): Promise<void> {
  const { size } = await stat(image);
  await using file = await open(box.disk, "r+");
  const noise = Buffer.alloc(unitBytes);
  for (let at = 0; at < size; at += 2 * unitBytes) {
    await file.write(randomFillSync(noise), 0, Math.min(unitBytes, size - at), at);
  }
  await file.write(Buffer.alloc(sectorBytes), 0, sectorBytes, 0);
}

/** Starts the command, and pulls the plug so long after. @returns what it said last. */
async function cutAfter(box: RunBox, kind: CutKind, image: string, afterMs: number) {
  const user = new AbortController();
  let during = "start";
  const following = box.owner.follow(
    (event) => {
      during = [event.event, event.phase ?? event.outcome].filter(Boolean).join(" ");
    },
    wordsOf(box, kind, image),
    user.signal,
  );
  // A command that is done earlier is not waited for: the power may go after it, too.
  await sleep(afterMs);
  const last = during;
  await box.cutPower();
  user.abort();
  await following;
  return last;
}

async function perform(box: RunBox, kind: CutKind, image: string): Promise<void> {
  const ended = await box.owner.follow(() => {}, wordsOf(box, kind, image));
  assert.equal(ended.exitCode, 0, JSON.stringify(ended));
}

function wordsOf(box: RunBox, kind: CutKind, image: string): readonly string[] {
  return [kind, image, box.target, "--confirm", box.serial];
}

/** Either a whole image, or nothing that firmware would boot from: never something in between. */
async function diskState(box: RunBox, older: string, newer: string): Promise<Cut["disk"]> {
  if (await holds(box, newer)) return "new";
  if (await holds(box, older)) return "old";
  await using file = await open(box.disk);
  const sector = Buffer.alloc(sectorBytes);
  await file.read(sector, 0, sectorBytes, 0);
  // Without this signature there is no protective MBR, and firmware looks for no GPT (UEFI, 5.2).
  assert.notEqual(sector.readUInt16LE(sectorBytes - 2), 0xaa55, "Half an image boots.");
  return "does not boot";
}

async function holds(box: RunBox, image: string): Promise<boolean> {
  const { code } = await box.owner.run("verify", image, `file:${box.disk}`);
  assert(code === 0 || code === 3, `verify ended with ${code}`);
  return code === 0;
}

async function timed(body: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await body();
  return performance.now() - startMs;
}

/** The same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
