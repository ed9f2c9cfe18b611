/** Block maps of bmaptool, version 2.0: which blocks of an image hold data, and their SHA-256. */

import { createHash } from "node:crypto";
import { SaxesParser } from "saxes";
import { FlashError, reasonOf } from "../error.ts";

/** A block map. */
export interface Bmap {
  readonly imageBytes: number;
  readonly blockBytes: number;
  /** In their order, without overlap. */
  readonly ranges: readonly BmapRange[];
}

/** Bytes that are mapped, and their SHA-256 in hex. */
export interface BmapRange {
  readonly fromBytes: number;
  readonly toBytes: number;
  readonly sha256: string;
}

const rangesMax = 10_000_000;

/**
 * Reads a block map and checks it against its own checksum.
 * @throws FlashError `sidecar` for anything else than a version 2 with SHA-256.
 */
export function parseBmap(text: string, sidecar: string): Bmap {
  const refuse = (found: string, cause?: unknown) =>
    new FlashError(
      "sidecar",
      `Cannot use ${sidecar}: ${found}. Wanted a block map of version 2.0 with SHA-256; ` +
        "fetch it again, or remove it.",
      { sidecar },
      { cause },
    );
  const { values, ranges } = readElements(text, refuse);
  const version = values.get("bmap@version") ?? "none";
  if (!/^2\.\d+$/.test(version)) throw refuse(`its version is ${version}`);
  if (values.get("ChecksumType")?.trim() !== "sha256") {
    throw refuse(`its checksums are of type ${values.get("ChecksumType")?.trim() ?? "none"}`);
  }
  checkOwnSum(text, values.get("BmapFileChecksum")?.trim() ?? "", refuse);
  const imageBytes = wholeNumber(values.get("ImageSize"));
  const blockBytes = wholeNumber(values.get("BlockSize"));
  if (imageBytes === undefined || !blockBytes) throw refuse("it lacks ImageSize or BlockSize");
  const shape = { imageBytes, blockBytes };
  return { ...shape, ranges: arrange(ranges, shape, refuse) };
}

type Refuse = (found: string, cause?: unknown) => FlashError;

interface RawRange {
  readonly text: string;
  readonly sha256: string;
}

function readElements(text: string, refuse: Refuse) {
  const values = new Map<string, string>();
  const ranges: RawRange[] = [];
  const open: { name: string; sha256: string; text: string }[] = [];
  const parser = new SaxesParser();
  parser.on("error", (error) => {
    throw refuse(`it is no XML (${reasonOf(error)})`, error);
  });
  parser.on("opentag", ({ name, attributes }) => {
    if (name === "bmap") values.set("bmap@version", String(attributes.version ?? "none"));
    open.push({ name, sha256: String(attributes.chksum ?? ""), text: "" });
  });
  parser.on("text", (piece) => {
    const element = open.at(-1);
    if (element) element.text += piece;
  });
  parser.on("closetag", () => {
    const element = open.pop();
    if (!element) return;
    if (element.name !== "Range") values.set(element.name, element.text);
    else if (ranges.length < rangesMax) ranges.push(element);
    else throw refuse(`it has more than ${rangesMax} ranges`);
  });
  parser.write(text).close();
  return { values, ranges };
}

/** The file's checksum is taken with zeros in its own place. */
function checkOwnSum(text: string, wanted: string, refuse: Refuse): void {
  const found = createHash("sha256")
    .update(text.replace(wanted, "0".repeat(64)))
    .digest("hex");
  if (!/^[0-9a-f]{64}$/.test(wanted) || found !== wanted) {
    throw refuse("its own checksum is another one than it says");
  }
}

function arrange(
  raw: readonly RawRange[],
  { imageBytes, blockBytes }: { imageBytes: number; blockBytes: number },
  refuse: Refuse,
): BmapRange[] {
  const ranges: BmapRange[] = [];
  for (const { text, sha256 } of raw) {
    const match = /^\s*(\d{1,15})(?:-(\d{1,15}))?\s*$/.exec(text);
    if (!match) throw refuse(`it has a range "${text.trim()}"`);
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    const fromBytes = first * blockBytes;
    const toBytes = Math.min((last + 1) * blockBytes, imageBytes);
    const isAfter = fromBytes >= (ranges.at(-1)?.toBytes ?? 0);
    if (last < first || !isAfter || fromBytes >= imageBytes || !/^[0-9a-f]{64}$/.test(sha256)) {
      throw refuse(`its range ${text.trim()} does not fit the others, the image, or lacks a hash`);
    }
    ranges.push({ fromBytes, toBytes, sha256 });
  }
  return ranges;
}

function wholeNumber(text: string | undefined): number | undefined {
  const value = Number(text?.trim() || Number.NaN);
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
