import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { ImageError } from "../error.ts";
import { fetchNpm, npmCommand, npmIntegrity } from "./driver-npm.ts";
import { sha512OfIntegrity } from "./integrity.ts";

const tarball = "a tarball";
const sha512 = createHash("sha512").update(tarball);
const base64 = sha512.copy().digest("base64");
const hex = sha512.digest("hex");
const wanted = { name: "@scope/thing", version: "1.2.3", integrity: `sha512-${base64}` };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "diskomator-npm-"));
});

afterEach(() => rm(folder, { recursive: true }));

/** A stand-in for npm: a program whose body sees npm's arguments as `args`. */
async function npm(body: string): Promise<readonly [string, string]> {
  const script = join(folder, "npm.cjs");
  const head = 'const fs = require("node:fs"); const args = process.argv.slice(2);';
  await writeFile(
    script,
    `${head}\nfs.appendFileSync(__filename + ".log", args.join(" ") + "\\n");\n${body}`,
  );
  return [process.execPath, script];
}

const packing = `const folder = args[args.indexOf("--pack-destination") + 1];
fs.writeFileSync(folder + "/scope-thing-1.2.3.tgz", "${tarball}");`;

async function refused(run: Promise<unknown>): Promise<ImageError> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ImageError, String(error));
    return error;
  }
  assert.fail("it went well");
}

test("fetchNpm caches the verified tarball by its digest, and asks npm once", async () => {
  const command = await npm(packing);
  const cacheDirectory = join(folder, "cache");
  for (let round = 0; round < 2; round += 1) {
    const path = await fetchNpm(wanted, { npm: command, cacheDirectory });
    assert.equal(path, join(cacheDirectory, "npm", `${hex}.tgz`));
    assert.equal(await readFile(path, "utf8"), tarball);
  }
  assert.deepEqual(await readdir(join(cacheDirectory, "npm")), [`${hex}.tgz`]);
  const calls = (await readFile(`${command[1]}.log`, "utf8")).trim().split("\n");
  assert.equal(calls.length, 1);
  assert.match(calls[0]!, /^pack @scope\/thing@1\.2\.3 --ignore-scripts --pack-destination /);
});

test("fetchNpm refuses other contents, and keeps nothing", async () => {
  const cacheDirectory = join(folder, "cache");
  const error = await refused(
    fetchNpm(wanted, { npm: await npm(packing.replace(tarball, "other")), cacheDirectory }),
  );
  assert.equal(error.code, "hash");
  const none = await refused(fetchNpm(wanted, { npm: await npm(""), cacheDirectory }));
  assert.equal(none.code, "hash");
  assert.deepEqual(await readdir(join(cacheDirectory, "npm")), []);
});

test("fetchNpm tells npm's failures apart", async () => {
  const table = [
    { code: "E404", expected: "gone" },
    { code: "ETARGET", expected: "gone" },
    { code: "ENOSPC", expected: "disk-full" },
    { code: "ECONNREFUSED", expected: "network" },
  ];
  for (const { code, expected } of table) {
    const command = await npm(`console.error("npm error code ${code}"); process.exit(1);`);
    const error = await refused(fetchNpm(wanted, { npm: command, cacheDirectory: folder }));
    assert.equal(error.code, expected, code);
    assert.match(error.message, /@scope\/thing@1\.2\.3/);
  }
  const missing = { npm: [join(folder, "no-npm")] as const, cacheDirectory: folder };
  const error = await refused(fetchNpm(wanted, missing));
  assert.equal(error.code, "io");
  assert.match(error.message, /npm is not there/);
});

test("fetchNpm and npmIntegrity take exact versions of plain names only", async () => {
  const command = await npm(packing);
  for (const change of [
    { name: "--registry=x" },
    { name: "a/b" },
    { name: "../a" },
    { version: "latest" },
    { version: "^1.0.0" },
    { version: "1.0.0 --x" },
  ]) {
    const error = await refused(npmIntegrity({ ...wanted, ...change }, { npm: command }));
    assert.equal(error.code, "lock", JSON.stringify(change));
  }
});

test("fetchNpm ends with the signal's reason", async () => {
  const reason = new Error("enough");
  const options = { npm: await npm("setTimeout(() => {}, 60000);"), cacheDirectory: folder };
  const aborter = new AbortController();
  const running = fetchNpm(wanted, { ...options, signal: aborter.signal });
  aborter.abort(reason);
  await assert.rejects(running, reason);
});

test("npmIntegrity gives what the registry says, if it says one thing", async () => {
  const command = await npm(`console.log(JSON.stringify("${wanted.integrity}"));`);
  assert.equal(await npmIntegrity(wanted, { npm: command }), wanted.integrity);
  const silent = await refused(npmIntegrity(wanted, { npm: await npm("") }));
  assert.equal(silent.code, "gone");
});

test("npmCommand prefers the npm that runs this program", () => {
  assert.deepEqual(npmCommand({}), ["npm"]);
  assert.deepEqual(npmCommand({ npm_execpath: "/x/npm-cli.js" }), [
    process.execPath,
    "/x/npm-cli.js",
  ]);
});

test("sha512OfIntegrity finds the SHA-512 among several, and refuses to do without", () => {
  assert.equal(sha512OfIntegrity(`sha1-AAAA sha512-${base64}?x`), hex);
  for (const integrity of ["", "sha1-AAAA", "sha512-AAAA", hex]) {
    assert.throws(
      () => sha512OfIntegrity(integrity),
      (error) => error instanceof ImageError && error.code === "lock",
    );
  }
});
