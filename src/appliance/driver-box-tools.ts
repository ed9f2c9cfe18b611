/** What the control channel asks of the machine beside the daemon. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BlockDevice } from "../block/index.ts";
import type { BoxTools } from "./box-methods.ts";
import { readOptional } from "./driver-files.ts";
import { Patience } from "./driver-patience.ts";
import { readTool, runTool } from "./driver-process.ts";
import type { SoftTarget } from "./driver-soft-target.ts";
import { parseHealth, smartType } from "./health.ts";
import { KnownContents, readWriteCounts } from "./known-contents.ts";
import { discoveryPort, readOnlyPort, servicePort } from "./nvmet.ts";
import { parsePeers } from "./peers.ts";

/** A disk that takes longer to show what is on it has something else to do, or is ill. */
const lookTimeoutMs = 5000;
const patience = { timeoutMs: lookTimeoutMs, atOnceMax: 2 };
/** Of a systemd that does not answer. */
const endTimeoutMs = 20_000;
/** Reads per second that make a disk's light flicker. */
const blinkPauseMs = 100;
const blinkBytes = 4096;

/** For reading only, and past what the kernel remembers of it. */
type OpenDisk = (name: string) => Promise<BlockDevice>;

/** The tools of the machine below `root`. */
export function boxTools(
  root: string,
  softTarget: SoftTarget,
  showNotice: (text: string | null) => void,
): BoxTools {
  const pathOf = (name: string) => join(root, "dev", name);
  const openDisk: OpenDisk = async (name) => {
    const { openPastCache } = await import("./driver-hashing.ts");
    return await openPastCache(pathOf(name));
  };
  const [looks, reports] = [new Patience(patience), new Patience(patience)];
  const known = new KnownContents({
    look: (name) => looks.ask(name, (signal) => readContents(openDisk, name, signal)),
    writes: (name) => readWrites(root, name),
    monotonicMs,
  });
  return {
    openDisk,
    openHashed: async (name) => (await import("./driver-hashing.ts")).openHashed(pathOf(name)),
    contents: (name) => known.of(name),
    health: (name, transport) =>
      reports.ask(name, () => readHealth(join(root, "dev", name), transport)),
    traffic: (name) => readTraffic(root, name),
    peers: () => {
      const tables = ["proc/net/tcp", "proc/net/tcp6"].map((path) => readOptional(root, path));
      const ports = new Set([servicePort, discoveryPort, readOnlyPort]);
      return parsePeers(
        tables.filter((table) => table !== null),
        ports,
      );
    },
    overlayUse: (nqn) => softTarget.overlayUse(nqn),
    overlayBytesMax: overlayBytesMax(root),
    now: () => new Date(),
    monotonicMs,
    end: async (how) => {
      // diskomator-goodbye.service holds the rest up for a moment, so that an answer gets out.
      await runTool("systemctl", ["--no-block", how], endTimeoutMs);
    },
    blink: (disk, seconds) => {
      showNotice(disk === null ? "THIS IS THE BOX" : `THIS IS THE BOX: disk ${disk}`);
      const end = AbortSignal.timeout(seconds * 1000);
      end.addEventListener("abort", () => showNotice(null), { once: true });
      if (disk !== null) void flicker(openDisk, disk, end);
    },
  };
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Null where the kernel does not count what is written to the disk. */
function readWrites(root: string, name: string): string | null {
  const directory = join("sys/class/block", name.replaceAll("/", "!"));
  if (readOptional(root, join(directory, "queue/iostats"))?.trim() !== "1") return null;
  const counts = readWriteCounts(readOptional(root, "proc/diskstats") ?? "", name);
  if (counts === null) return null;
  // Another disk or medium under the same name.
  const [sequence, size] = ["diskseq", "size"].map((file) =>
    readOptional(root, join(directory, file)),
  );
  return `${sequence}${size}${counts}`;
}

/** Half of the memory: what the box itself takes is less than a fifth of the smallest. */
function overlayBytesMax(root: string): number {
  const total = /^MemTotal:\s+(\d+) kB$/m.exec(readOptional(root, "proc/meminfo") ?? "");
  return Math.floor((Number(total?.[1] ?? 0) * 1024) / 2);
}

async function readContents(openDisk: OpenDisk, name: string, signal: AbortSignal) {
  const { describeDisk } = await import("../disk/index.ts");
  await using device = await openDisk(name);
  const found = await describeDisk(device, { signal });
  return {
    line: found.contents,
    isBlank: found.isBlank,
    partitions: found.partitions.map((one) => ({
      number: one.number,
      startBytes: one.startBytes,
      sizeBytes: one.sizeBytes,
      typeName: one.typeName,
      name: one.name,
      contents: one.contents,
      label: one.signatures[0]?.label ?? "",
      partUuid: one.partUuid,
    })),
  };
}

/** smartctl ends with bits set for all that is not well, and prints its report all the same. */
async function readHealth(path: string, transport: string) {
  const type = smartType(transport);
  if (type === null) return null;
  return parseHealth(
    await readTool("smartctl", ["-j", "-H", "-A", "-d", type, path], lookTimeoutMs),
  );
}

/** Documentation/block/stat.rst: sectors of 512 bytes are fields 3 and 7, calls under way field 9. */
function readTraffic(root: string, name: string) {
  try {
    const path = join(root, "sys/class/block", name.replaceAll("/", "!"), "stat");
    const fields = readFileSync(path, "utf8").trim().split(/\s+/).map(Number);
    const [read = 0, written = 0, inFlight = 0] = [fields[2], fields[6], fields[8]];
    const at = new Date().toISOString();
    return { readBytes: read * 512, writtenBytes: written * 512, inFlight, at };
  } catch {
    return null;
  }
}

/** Reads here and there, for the light. */
async function flicker(openDisk: OpenDisk, name: string, end: AbortSignal): Promise<void> {
  try {
    await using device = await openDisk(name);
    const buffer = new Uint8Array(Math.max(blinkBytes, device.blockSizeBytes));
    const places = Math.floor(device.sizeBytes / buffer.length);
    while (!end.aborted && places > 0) {
      await device.read(Math.floor(Math.random() * places) * buffer.length, buffer);
      await new Promise((resolve) => setTimeout(resolve, blinkPauseMs));
    }
  } catch {
    // The disk went, or does not answer: there is no light to see.
  }
}
