/**
 * The loop in a virtual machine: one file of an operating system is changed, its image built, written
 * to a disk of a box, booted once, and the box is back; again and again, with nobody there.
 *
 * `npm run bench rounds [ROUNDS] [minutes=N]` (10 rounds unless told; none begins after N minutes).
 * Prints a table of what each
 * second between a change and the booted system went into, and the way back; the firmware's share
 * stands apart.
 *
 * The clock is this machine's: what the commands print, what the machine writes to its serial line,
 * and when QEMU resets it.
 */

import { cp, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { boot } from "../test/driver-box.ts";
import { RunBox } from "../test/driver-run-box.ts";
import { describeMachine } from "./machine.ts";
import { median } from "./nvme-loads.ts";

const rounds = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 10);
const minutes = Number(process.argv.find((word) => word.startsWith("minutes="))?.slice(8) ?? 600);
const appliances = join(import.meta.dirname, "../appliances");

/** Where a round's time went, in the order in which it did. */
const parts = {
  build: "build the image",
  look: "start, log in, look at box and disk",
  write: "hash on the box, compare, write what differs",
  verify: "verify on the box",
  finish: "first and last sectors",
  prepare: "log in again, firmware variables",
  down: "the box goes down",
  firmware: "firmware",
  loader: "the firmware loads the image",
  system: "kernel and system, up to the condition",
  end: "the system goes down",
  firmwareBack: "firmware, again",
  box: "the box boots and says how it went",
} as const;
type Part = keyof typeof parts;
const untilBooted: readonly Part[] = Object.keys(parts).slice(0, 10) as Part[];
const firmwareParts: readonly Part[] = ["firmware", "loader", "firmwareBack"];

interface Round {
  readonly seconds: Readonly<Record<Part, number>>;
  readonly sentBytes: number;
  readonly imageBytes: number;
}

await using box = await RunBox.start();
console.log(`${describeMachine()}, ${box.vm.accelerator}`);
const definition = await copyDefinition();
await box.bootedAt();
const all: Round[] = [];
const lateMs = performance.now() + minutes * 60_000;
for (let n = 0; n <= rounds && (n < 2 || performance.now() < lateMs); n++) {
  const round = await runRound(n);
  // The first one finds an empty disk and writes all of it.
  if (n > 0) all.push(round);
  const booted = sum(round, untilBooted);
  const total = sum(round, Object.keys(parts) as Part[]);
  const sent = (round.sentBytes / 2 ** 20).toFixed(1);
  console.log(
    `round ${n}: booted after ${booted.toFixed(1)} s, back after ${total.toFixed(1)} s, ${sent} MiB written`,
  );
}
print();

/** A definition of one's own, whose files may be changed. */
async function copyDefinition(): Promise<string> {
  await cp(join(appliances, "counter"), join(box.folder, "counter"), { recursive: true });
  await cp(join(appliances, "counter.lock.json"), join(box.folder, "counter.lock.json"));
  const path = join(box.folder, "counter.ts");
  const original = pathToFileURL(join(appliances, "counter.ts")).href;
  await writeFile(path, `export { default } from ${JSON.stringify(original)};\n`);
  return path;
}

async function runRound(n: number): Promise<Round> {
  const name = `round-${n}`;
  const script = join(box.folder, "counter/usr/lib/counter/count");
  const text = await readFile(script, "utf8");
  await writeFile(script, text.replace(/counter\.name \S+\)/, `counter.name ${name})`));
  const marks = new Map<string, number>();
  const mark = (what: string) => void (marks.has(what) || marks.set(what, performance.now()));
  mark("changed");
  const built = await box.owner.run("build", definition, "--out", join(box.folder, "image"));
  if (built.code !== 0) throw new Error(built.stderr);
  mark("built");
  const watching = watchMachine(name, mark);
  const image = join(box.folder, "image/counter.raw");
  let written = 0;
  let ended: Record<string, unknown>;
  let sinceKernel: number;
  try {
    ended = await box.owner.follow(
      (event) => {
        if (event.event === "progress") mark(String(event.phase));
        if (event.event === "booting") mark("booting");
        if (Array.isArray(event.results)) mark("written");
        written += writtenBytes(event);
      },
      ["run", image, box.target, ...(n === 0 ? ["--confirm", box.serial] : ["--yes"])],
    );
    mark("back");
    sinceKernel = ended.outcome === "met" ? await watching.ended : 0;
  } finally {
    watching.stop();
  }
  const { report } = ended as { report?: { boots: number; problems: unknown[] } };
  const counter = await box.readCounter();
  const isRight = report?.boots === 2 && report.problems.length === 0 && counter.endsWith(name);
  if (ended.outcome !== "met" || !isRight) {
    throw new Error(`Round ${n} went wrong: ${counter}, ${JSON.stringify(ended)}`);
  }
  const { size } = await stat(image);
  return { seconds: secondsOf(marks, sinceKernel), sentBytes: written, imageBytes: size };
}

/** Bytes of a flash, from its result. */
function writtenBytes(event: Record<string, unknown>): number {
  if (event.event !== "result" || !Array.isArray(event.results)) return 0;
  return event.results.reduce((total, { counts }) => total + counts.written, 0);
}

/** Marks resets and what the serial line says; resolves with the kernel's own time when it was up. */
function watchMachine(name: string, mark: (what: string) => void) {
  const { vm } = box;
  const stop = new AbortController();
  const { signal } = stop;
  let resets = 0;
  const unhear = vm.qmp.onEvent(({ event }) => {
    if (event === "RESET") mark(resets++ === 0 ? "reset" : "resetBack");
  });
  signal.addEventListener("abort", unhear);
  const after = vm.serialEnd;
  const see = async () => {
    const started = await vm.waitForSerial(/BdsDxe: starting Boot/, { ...boot, after, signal });
    mark("started");
    const up = await vm.waitForSerial(new RegExp(`counter: boot \\d+ of ${name}, ([\\d.]+) s`), {
      ...boot,
      after: started.end,
      signal,
    });
    mark("up");
    await vm.waitForSerial(/BdsDxe: starting Boot/, { ...boot, after: up.end, signal });
    mark("startedBack");
    return Number(up.groups[1]);
  };
  const ended = see();
  // The round's own end tells.
  ended.catch(() => {});
  return { ended, stop: () => stop.abort() };
}

function secondsOf(marks: ReadonlyMap<string, number>, sinceKernel: number) {
  const at = (what: string) => marks.get(what) ?? Number.NaN;
  const between = (from: string, to: string) => (at(to) - at(from)) / 1000;
  const untilUp = between("started", "up");
  return {
    build: between("changed", "built"),
    look: between("built", "write"),
    write: between("write", marks.has("verify") ? "verify" : "finish"),
    verify: marks.has("verify") ? between("verify", "finish") : 0,
    finish: between("finish", "written"),
    prepare: between("written", "booting"),
    down: between("booting", "reset"),
    firmware: between("reset", "started"),
    loader: untilUp - sinceKernel,
    system: sinceKernel,
    end: between("up", "resetBack"),
    firmwareBack: between("resetBack", "startedBack"),
    box: between("startedBack", "back"),
  };
}

function sum({ seconds }: Round, which: readonly Part[]): number {
  return which.reduce((total, part) => total + seconds[part], 0);
}

function print(): void {
  const rows: [string, readonly number[]][] = Object.entries(parts).map(([part, text]) => {
    return [text, all.map(({ seconds }) => seconds[part as Part])];
  });
  const whole = Object.keys(parts) as Part[];
  rows.splice(untilBooted.length, 0, [
    "**change to booted**",
    all.map((round) => sum(round, untilBooted)),
  ]);
  rows.push(["**change to the box back**", all.map((round) => sum(round, whole))]);
  rows.push(["of this, the firmware", all.map((round) => sum(round, firmwareParts))]);
  const show = (value: number) => value.toFixed(1);
  console.log("| seconds | median | least | most |\n| --- | ---: | ---: | ---: |");
  for (const [text, values] of rows) {
    const [least, most] = [Math.min(...values), Math.max(...values)].map(show);
    console.log(`| ${text} | ${show(median(values))} | ${least} | ${most} |`);
  }
  const mebibytes = (values: readonly number[]) => (median(values) / 2 ** 20).toFixed(1);
  const sent = mebibytes(all.map(({ sentBytes }) => sentBytes));
  const image = mebibytes(all.map(({ imageBytes }) => imageBytes));
  console.log(`${all.length} rounds; ${sent} MiB written of an image of ${image} MiB`);
}
