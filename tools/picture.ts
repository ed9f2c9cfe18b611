/**
 * `npm run picture`: records a real `diskomator flash` on a terminal, and draws docs/flash.svg.
 *
 * An image with an ESP and a root partition is packed, served a disk on loopback by our own target,
 * and flashed under a pseudo-terminal (script, of util-linux), with the question answered as a
 * person would. Rates and times are those of this machine; everything else is the same every time.
 */

import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { FileDisk } from "../src/block/index.ts";
import { encodeGpt, partitionTypes, planGpt, writeExtents } from "../src/disk/index.ts";
import { createTarget } from "../src/target/index.ts";
import { root } from "./project.ts";
import { introducer, Screen } from "./terminal.ts";

const mebibyte = 2 ** 20;
const imageBytes = 3072 * mebibyte;
const dataBytes = 768 * mebibyte;
const diskBytes = 4096 * mebibyte;
const serial = "S6Z1NJ0W1";
const columns = 126;
const framesMax = 24;
const cutSequence = new RegExp(`^([\\s\\S]*?)((?:${introducer}[^A-Za-z]*)?)$`, "u");

/** What stood on the screen, from when on. */
interface Frame {
  readonly atSeconds: number;
  readonly lines: readonly string[];
}

await using stack = new AsyncDisposableStack();
const folder = await mkdtemp(join(tmpdir(), "diskomator-picture-"));
stack.defer(() => rm(folder, { recursive: true, force: true }));
await makeImage();
const disk = stack.use(await FileDisk.open(join(folder, "disk"), { createBytes: diskBytes }));
await disk.write(4096, Buffer.alloc(512, "somebody's data "));
const namespaces = [{ device: disk, uuid: "7d6c8b1e-2f0a-4c39-9d57-6f1f0a3b7c21" }];
const nqn = `nqn.2026-11.io.diskomator:lab:${serial}`;
const target = createTarget({ subsystems: [{ nqn, serial, hosts: "any", namespaces }] });
stack.use(target);
await target.listen({ host: "127.0.0.1", port: 4420 });
const frames = choose(await record(`flash my-os.raw.zst localhost:${serial}`));
const path = join(root, "docs/flash.svg");
await writeFile(path, draw(frames));
console.log(`${path}: ${frames.length} frames`);

/** Noise in a fifth of each partition, holes between: packed, with a checksum beside it. */
async function makeImage(): Promise<void> {
  const raw = join(folder, "my-os.raw");
  {
    await using image = await FileDisk.open(raw, { createBytes: imageBytes });
    const gpt = planGpt({
      sizeBytes: imageBytes,
      sectorSizeBytes: 512,
      diskGuid: "1b0c2d3e-4f50-4617-8293-a4b5c6d7e8f9",
      partitions: [
        {
          typeGuid: partitionTypes.efiSystem,
          guid: "2b0c2d3e-4f50-4617-8293-a4b5c6d7e8f9",
          name: "ESP",
          sizeBytes: 512 * mebibyte,
        },
        {
          typeGuid: partitionTypes.linuxData,
          guid: "3b0c2d3e-4f50-4617-8293-a4b5c6d7e8f9",
          name: "root",
          sizeBytes: "rest",
        },
      ],
    });
    const { mbr, primary, backup } = encodeGpt(gpt);
    await writeExtents(image, [mbr, ...primary, ...backup]);
    await using random = await open("/dev/urandom");
    const piece = Buffer.alloc(mebibyte);
    for (let done = 0; done < dataBytes; done += mebibyte) {
      await random.read(piece, 0, mebibyte);
      await image.write((1 + 3 * (done / mebibyte)) * mebibyte, piece);
    }
  }
  await promisify(execFile)("zstd", ["-q", "--rm", raw]);
  const packed = await readFile(`${raw}.zst`);
  const sum = createHash("sha256").update(packed).digest("hex");
  await writeFile(`${raw}.zst.sha256`, `${sum}  my-os.raw.zst\n`);
}

/** Runs a command on a terminal of its own, and answers its question. */
async function record(command: string): Promise<Frame[]> {
  const main = join(root, "src/cli/main.ts");
  const run = `stty cols ${columns} rows 30 -echo; ${process.execPath} ${main} ${command}`;
  const child = spawn("script", ["-qec", run, "/dev/null"], { cwd: folder });
  const screen = new Screen();
  screen.write(`$ diskomator ${command}\r\n`);
  const frames: Frame[] = [{ atSeconds: 0, lines: screen.lines }];
  const startMs = performance.now();
  let hasAnswered = false;
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    // A sequence may be cut in two.
    const [, whole = "", cut = ""] = cutSequence.exec(rest + text) ?? [];
    rest = cut;
    screen.write(whole);
    frames.push({ atSeconds: (performance.now() - startMs) / 1000, lines: screen.lines });
    if (hasAnswered || !whole.includes("to go on: ")) return;
    hasAnswered = true;
    child.stdin.write(`${serial.slice(-4)}\n`);
  });
  const [code] = await once(child, "close");
  if (code === 0) return frames;
  throw new Error(`The command ended with ${code}: ${screen.lines.join("\n")}`);
}

/** As many as the picture holds, the last one among them. */
function choose(frames: readonly Frame[]): Frame[] {
  const step = Math.max(1, Math.ceil(frames.length / framesMax));
  const chosen = frames.filter((_, n) => n % step === 0);
  const last = frames.at(-1);
  return last && chosen.at(-1) !== last ? [...chosen, last] : chosen;
}

/** The frames as an SVG that plays them over and over, and rests on the last one. */
function draw(frames: readonly Frame[]): string {
  const [lineHeight, characterWidth, margin, restSeconds] = [20, 8.43, 16, 6];
  const rows = Math.max(...frames.map(({ lines }) => lines.length));
  const width = Math.ceil(columns * characterWidth + 2 * margin);
  const height = rows * lineHeight + 2 * margin;
  const total = (frames.at(-1)?.atSeconds ?? 0) + restSeconds;
  const shown = frames.map(({ atSeconds, lines }, n) => {
    const from = (atSeconds / total).toFixed(4);
    const to = ((frames[n + 1]?.atSeconds ?? total) / total).toFixed(4);
    const isLast = n === frames.length - 1;
    const times = isLast ? `0;${from}` : `0;${from};${to}`;
    const values = isLast ? "hidden;visible" : "hidden;visible;hidden";
    const texts = lines.map(
      (line, row) => `<text y="${(row + 1) * lineHeight - 5}">${escapeXml(line)}</text>`,
    );
    const animation =
      `<animate attributeName="visibility" calcMode="discrete" dur="${total.toFixed(2)}s" ` +
      `repeatCount="indefinite" keyTimes="${times}" values="${values}"/>`;
    const still = isLast ? "visible" : "hidden";
    return `<g visibility="${still}">${animation}\n${texts.join("\n")}\n</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
<title>diskomator flash, recorded by npm run picture</title>
<rect width="100%" height="100%" rx="8" fill="#16181d"/>
<g transform="translate(${margin} ${margin})" fill="#d8dee9" font-size="14" xml:space="preserve"
  font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace">
${shown.join("\n")}
</g>
</svg>
`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
