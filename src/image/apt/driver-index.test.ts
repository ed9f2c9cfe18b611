import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { xz } from "@napi-rs/lzma";
import {
  createCleartextMessage,
  generateKey,
  type PrivateKey,
  readPrivateKey,
  sign,
} from "openpgp";
import { ImageError } from "../error.ts";
import { openTransport, type Transport } from "../fetch/index.ts";
import { type ArmoredKey, type LoadIndexOptions, loadIndex } from "./driver-index.ts";

const now = new Date("2026-11-23T12:00:00Z");
const files = new Map<string, Uint8Array | string>();
let requests: string[] = [];
let server: Server;
let transport: Transport;
let cacheDirectory: string;
let secret: PrivateKey;
let keys: ArmoredKey[];

before(async () => {
  const { privateKey, publicKey } = await generateKey({
    type: "ecc",
    curve: "ed25519Legacy",
    userIDs: [{ name: "test" }],
    date: new Date("2026-01-01T00:00:00Z"),
  });
  secret = await readPrivateKey({ armoredKey: privateKey });
  keys = [
    { label: "test", archive: "debian", armored: publicKey },
    { label: "test", archive: "debian-security", armored: publicKey },
  ];
  server = createServer((request, response) => {
    requests.push(request.url ?? "");
    const file = files.get(request.url ?? "");
    response.statusCode = file === undefined ? 404 : 200;
    response.end(file ?? "no");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  transport = openTransport({ proxy: { except: [], hosts: {} } });
});

after(async () => {
  await transport[Symbol.asyncDispose]();
  server.close();
});

afterEach(() => rm(cacheDirectory, { recursive: true }));

beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), "diskomator-index-"));
  files.clear();
  requests = [];
  await publish("debian", "trixie", "a", "Sat, 12 Sep 2026 07:55:41 UTC");
  await publish("debian", "trixie-updates", "b", "Sat, 21 Nov 2026 02:10:46 UTC");
  await publish("debian-security", "trixie-security", "c", "Sat, 21 Nov 2026 00:53:03 UTC");
});

async function publish(archive: string, suite: string, name: string, date: string) {
  const packages = `Package: ${name}\nVersion: 1\nArchitecture: amd64\nFilename: pool/${name}.deb
Size: 1\nSHA256: ${"0".repeat(64)}\n`;
  const compressed = await xz.compress(packages);
  const hash = createHash("sha256").update(compressed).digest("hex");
  const text = `Suite: ${suite}\nCodename: ${suite}\nDate: ${date}\nAcquire-By-Hash: yes
Components: main\nArchitectures: amd64\nSHA256:
 ${hash} ${compressed.length} main/binary-amd64/Packages.xz\n`;
  const message = await createCleartextMessage({ text });
  const signed = await sign({ message, signingKeys: secret, date: new Date("2026-11-21Z") });
  const folder = `/${archive}/dists/${suite}`;
  files.set(`${folder}/InRelease`, signed);
  files.set(`${folder}/main/binary-amd64/by-hash/SHA256/${hash}`, compressed);
}

function options(changes: Partial<LoadIndexOptions> = {}): LoadIndexOptions {
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    mirrors: { debian: `${base}/debian`, "debian-security": `${base}/debian-security` },
    release: "trixie",
    components: ["main"],
    architecture: "amd64",
    cacheDirectory,
    transport,
    now,
    keys,
    retry: { triesMax: 2, delaysMs: [0] },
    ...changes,
  };
}

async function refused(changes: Partial<LoadIndexOptions> = {}): Promise<ImageError> {
  try {
    await loadIndex(options(changes));
  } catch (error) {
    assert.ok(error instanceof ImageError, String(error));
    return error;
  }
  assert.fail("it was loaded");
}

test("loadIndex tells nobody the password of a mirror", async () => {
  const { host } = new URL(options().mirrors.debian);
  const mirror = `http://somebody:hunter2@${host}/debian`;
  const mirrors = { debian: mirror, "debian-security": `${mirror}-security` };
  files.set("/debian/dists/trixie/InRelease", "not signed");
  const errors = [await refused({ mirrors })];
  await publish("debian", "trixie", "a", "Sat, 12 Sep 2026 07:55:41 UTC");
  errors.push(await refused({ mirrors, components: ["contrib"] }));
  for (const { message, facts } of errors) {
    assert.ok(message.includes(` http://${host}/debian`), message);
    assert.doesNotMatch(message + JSON.stringify(facts), /hunter2/);
  }
});

test("loadIndex joins the three suites, and says what vouches for them", async () => {
  const events: string[] = [];
  const { packages, releases } = await loadIndex(options({ log: (event) => events.push(event) }));
  assert.equal(packages.packageCount, 3);
  assert.equal(packages.named("c")[0]?.archive, "debian-security");
  const file = files.get("/debian/dists/trixie/InRelease")!;
  assert.deepEqual(releases[0], {
    archive: "debian",
    suite: "trixie",
    date: "2026-09-12T07:55:41.000Z",
    sha256: createHash("sha256").update(file).digest("hex"),
  });
  assert.deepEqual(
    releases.map(({ suite }) => suite),
    ["trixie", "trixie-updates", "trixie-security"],
  );
  assert.equal(events.filter((event) => event === "packages-read").length, 3);
});

test("loadIndex takes what is asked for from backports, and refuses what they do not have", async () => {
  const unknown = await refused({ backports: ["a"] });
  assert.equal(unknown.code, "mirror", "there are no backports");
  await publish("debian", "trixie-backports", "b", "Sat, 21 Nov 2026 02:10:46 UTC");
  const { packages, releases } = await loadIndex(options({ backports: ["b"] }));
  assert.equal(packages.named("b")[0]?.suite, "trixie-backports");
  assert.equal(packages.named("a")[0]?.suite, "trixie");
  assert.equal(releases.at(-1)?.suite, "trixie-backports");
  const gone = await refused({ backports: ["b", "gone"] });
  assert.equal(gone.code, "definition");
  assert.match(gone.message, /take gone from trixie-backports/);
  assert.equal((await loadIndex(options())).packages.named("b")[0]?.suite, "trixie-updates");
});

test("loadIndex fetches an index that it has only once", async () => {
  await loadIndex(options());
  requests = [];
  await loadIndex(options());
  assert.equal(requests.length, 3);
  assert.ok(requests.every((url) => url.endsWith("/InRelease")));
});

test("loadIndex refuses to go back behind what the cache or the lock has seen", async () => {
  await loadIndex(options());
  await publish("debian", "trixie-updates", "b", "Fri, 20 Nov 2026 02:10:46 UTC");
  const error = await refused();
  assert.equal(error.code, "expired");
  assert.equal(error.facts.check, "rollback");

  const other = await mkdtemp(join(tmpdir(), "diskomator-index-"));
  const { releases } = await loadIndex(options({ cacheDirectory: other }));
  const previous = releases.map((entry) => ({ ...entry, date: "2026-11-22T00:00:00Z" }));
  assert.equal((await refused({ cacheDirectory: other, previous })).facts.check, "rollback");
  await rm(other, { recursive: true });
});

test("loadIndex does not go on without the date of the newest index where it cannot read it", async () => {
  const other = await mkdtemp(join(tmpdir(), "diskomator-index-"));
  await mkdir(join(other, "index/newest/debian_trixie"), { recursive: true });
  const error = await refused({ cacheDirectory: other });
  await rm(other, { recursive: true });
  assert.equal(error.code, "io");
  assert.match(error.message, /newest.debian_trixie: EISDIR/);
});

test("loadIndex refuses a package list that is not the signed one, and does not keep it", async () => {
  const path = [...files.keys()].find((name) => name.includes("trixie/main"))!;
  const good = files.get(path) as Uint8Array;
  const bad = Buffer.from(good);
  bad[bad.length - 1]! ^= 1;
  files.set(path, bad);
  assert.equal((await refused()).code, "hash");
  files.set(path, good);
  assert.equal((await loadIndex(options())).packages.packageCount, 3);
});

test("loadIndex names a suite or component that is not there", async () => {
  const suite = await refused({ release: "sarge" });
  assert.equal(suite.code, "mirror");
  assert.match(suite.message, /sarge.*InRelease is not there.*--mirror/);
  const component = await refused({ components: ["main", "contrib"] });
  assert.equal(component.code, "definition");
  assert.match(component.message, /contrib.*Its components are main/);
});

test("loadIndex believes Debian's own keys only, unless it is told others", async () => {
  const { keys: _, ...rest } = options();
  await assert.rejects(loadIndex(rest), /signatures only by the unknown key/);
});
