import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { viewOf } from "../../bytes/index.ts";
import { sampleProgram } from "../../disk/testing/program-sample.ts";
import type { Entry } from "../entry.ts";
import { makeSegment } from "../segment/index.ts";
import type { SegmentResult } from "../workers/index.ts";
import { assembleImage } from "./driver-assemble.ts";
import { emptyLock, smallDefinition } from "./testing/fixtures.ts";

const definition = { ...smallDefinition, kernelCommandLine: ["quiet"] };

/** A stored segment of one file. */
function segmentOf(path: string, data: Uint8Array): SegmentResult {
  const entry: Entry = {
    ...({ type: "file", path, mode: 0o644, uid: 0, gid: 0 } as const),
    mtimeSeconds: emptyLock.epochSeconds,
    data,
  };
  const { bytes, codec, listing } = makeSegment([entry], { kind: "store" });
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { key: path, path, sizeBytes: bytes.length, sha256, codec, listing, cached: true, bytes };
}

/** What a bzImage has of a PE program, and of a kernel: its mark, and a version text. */
function kernelOf(content: string): Uint8Array {
  const version = `6.12-test (builder) #1 ${content}\0`;
  const file = sampleProgram({ sections: [[".text", Buffer.from(version)]] });
  file.set(Buffer.from("HdrS"), 0x202);
  viewOf(file).setUint16(0x20e, 0x600 - 0x200, true);
  return file;
}

const sbat: readonly [string, Uint8Array] = [".sbat", Buffer.from("sbat,1,SBAT Version\n\0")];
const stubOf = (code: string) => sampleProgram({ sections: [[".text", Buffer.from(code)], sbat] });

interface Parts {
  readonly kernel?: string;
  readonly microcode?: string;
  readonly stub?: string;
}

async function assemble({ kernel = "a", microcode = "a", stub = "a" }: Parts) {
  const empty = segmentOf("usr/lib/x", Buffer.of(1));
  const report = {
    modules: [],
    modulePackedBytes: 0,
    moduleRawBytes: 0,
    firmwareBytes: 0,
    firmwareByModule: [],
    firmwareMissing: [],
    unusedFirmwareExclusions: [],
    unmatchedRules: [],
  };
  return await assembleImage({
    definition,
    lock: emptyLock,
    segments: {
      userland: [],
      node: undefined,
      kernel: {
        modules: empty,
        firmware: empty,
        vmlinuz: segmentOf("boot/vmlinuz", kernelOf(kernel)),
        microcode: segmentOf("kernel/x86/microcode/GenuineIntel.bin", Buffer.from(microcode)),
        release: "6.12-test",
        report,
      },
      stub: segmentOf("usr/lib/systemd/boot/efi/linuxx64.efi.stub", stubOf(stub)),
    },
    finished: { entries: [], ids: {}, modeOverrides: new Map(), osRelease: "ID=box\n", notes: [] },
    options: {
      definitionPath: "box.ts",
      outDirectory: "out",
      cacheDirectory: "cache",
      update: "never",
      compression: "fast",
      now: new Date(0),
      clock: () => 0,
    },
  });
}

test("assembleImage gives the same parts the same names, and all others others", async () => {
  const first = await assemble({});
  assert.deepEqual((await assemble({})).raw.guids, first.raw.guids);
  for (const part of ["kernel", "microcode", "stub"] as const) {
    const { buildId, raw } = await assemble({ [part]: "b" });
    assert.notEqual(buildId, first.buildId, part);
    assert.notEqual(raw.guids.partition, first.raw.guids.partition, part);
  }
});
