/** Builds as a user runs them, what they put into the image, and a mirror that fails on demand. */

import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import type { Entry, Manifest } from "../src/image/index.ts";
import { readCpio } from "../src/image/segment/index.ts";
import { inspectPe, sectionContent } from "../src/image/uki/index.ts";

/** The checkout. */
export const root = join(import.meta.dirname, "..");

/** The user's cache, which holds the packages after any build. */
export const userCache = join(
  process.env.XDG_CACHE_HOME || join(homedir(), ".cache"),
  "diskomator",
);

/** How a command ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `diskomator build ARGUMENTS`, without the user's keys. */
export function runBuild(...args: readonly string[]): Promise<Ended> {
  const words = [join(root, "src/cli/main.ts"), "build", "--no-ssh-keys", ...args];
  return new Promise((resolve) => {
    const options = { maxBuffer: 64 * 1024 * 1024 };
    execFile(process.execPath, words, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ code, stdout, stderr });
    });
  });
}

/** The manifest that a build of `diskomator` wrote. */
export async function readManifest(outDirectory: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(outDirectory, "diskomator.manifest.json"), "utf8"));
}

/** What the kernel would make of the initrd: path → the last entry of it. */
export async function readImage(outDirectory: string): Promise<Map<string, Entry>> {
  const manifest = await readManifest(outDirectory);
  const efi = await readFile(join(outDirectory, "diskomator.efi"));
  const section = inspectPe("the image", [efi]).sections.find(({ name }) => name === ".initrd");
  const initrd = sectionContent(section!, [efi]);
  const files = new Map<string, Entry>();
  let at = 0;
  for (const { name, sizeBytes } of manifest.segments) {
    if (sizeBytes === 0) continue;
    // NULs bring a stored archive to a multiple of 4.
    while (initrd[at] === 0) at += 1;
    const bytes = initrd.subarray(at, at + sizeBytes);
    const archive = bytes[0] === 0x28 ? zstdDecompressSync(bytes) : bytes;
    for (const entry of readCpio(archive, name).entries) files.set(entry.path, entry);
    at += sizeBytes;
  }
  return files;
}

/** What a mirror does instead of sending a file. */
export type Fault =
  | { readonly kind: "gone" }
  /** Bytes of the right number that are others. */
  | { readonly kind: "altered" }
  /** The connection breaks in the middle, so many times. */
  | { readonly kind: "cut"; times: number };

/** A mirror on this machine that serves packages out of the user's cache. */
export interface TestMirror extends AsyncDisposable {
  readonly url: string;
  /** Package name → what is wrong with its file. */
  readonly faults: Map<string, Fault>;
  /** Names of the packages that were asked for, in order, once for each request. */
  readonly asked: string[];
}

/** Starts a mirror for the packages of the lock of `diskomator`, which must be in the cache. */
export async function startMirror(): Promise<TestMirror> {
  const lock: { packages: { name: string; path: string; sha256: string }[] } = JSON.parse(
    await readFile(join(root, "appliances/diskomator.lock.json"), "utf8"),
  );
  const byPath = new Map(lock.packages.map((locked) => [locked.path, locked]));
  const faults = new Map<string, Fault>();
  const asked: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = decodeURIComponent(request.url ?? "").replace(/^\/debian(-security)?\//, "");
    const locked = byPath.get(path);
    const fault = locked && faults.get(locked.name);
    if (locked) asked.push(locked.name);
    if (!locked || fault?.kind === "gone") {
      response.writeHead(404).end();
      return;
    }
    const file = await readFile(join(userCache, "debs/sha256", locked.sha256));
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const headers = { etag: `"${locked.sha256}"`, "accept-ranges": "bytes" };
    const body = fault?.kind === "altered" ? Buffer.from(file).fill(0, 1000) : file;
    const partly = { "content-range": `bytes ${start}-${file.length - 1}/${file.length}` };
    const length = { "content-length": file.length - start };
    response.writeHead(start > 0 ? 206 : 200, { ...headers, ...length, ...(start > 0 && partly) });
    if (fault?.kind !== "cut" || fault.times === 0) {
      response.end(body.subarray(start));
      return;
    }
    fault.times -= 1;
    const half = start + Math.floor((file.length - start) / 2);
    response.write(body.subarray(start, half), () => response.destroy());
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error) => response.destroy(error));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian`,
    faults,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
