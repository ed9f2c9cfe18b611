import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { ImageError } from "../error.ts";
import type { LockedPackage } from "../lock.ts";
import { fetchSmall, fetchVerified, type VerifiedFile } from "./driver-download.ts";
import { openTransport, type Transport } from "./driver-http.ts";
import { type FetchProgress, fetchPackages } from "./driver-packages.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const content = Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * 7919) >> 3));
const digest = { algorithm: "sha256", hex: sha256(content) } as const;
const retry = { triesMax: 3, delaysMs: [0] };

let folder: string;
let server: Server;
let base: string;
let transport: Transport;
/** Answers by request, in turns; the last one serves for all further ones. */
let answers: Answer[];
let seen: IncomingMessage[];

before(async () => {
  server = createServer((request, response) => {
    seen.push(request);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    (answer ?? whole)(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  transport = openTransport({ proxy: { except: [], hosts: {} }, stallTimeoutMs: 200 });
});

after(async () => {
  await transport[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "diskomator-fetch-"));
  answers = [];
  seen = [];
});

afterEach(() => rm(folder, { recursive: true }));

function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** A good server: whole files, ranges, and `If-Range` with the tag `"v1"`. */
const whole: Answer = (request, response) => {
  const { range, "if-range": ifRange } = request.headers;
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  response.setHeader("etag", '"v1"');
  if (from > 0 && (ifRange === undefined || ifRange === '"v1"')) {
    const last = content.length - 1;
    response.setHeader("content-range", `bytes ${from}-${last}/${content.length}`);
    response.writeHead(206).end(content.subarray(from));
  } else {
    response.writeHead(200).end(content);
  }
};

/** Announces everything, sends so many bytes, and cuts. */
function cutAfter(sizeBytes: number): Answer {
  return (request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    response.setHeader("etag", '"v1"');
    response.setHeader("content-length", content.length - from);
    if (from > 0) {
      const range = `bytes ${from}-${content.length - 1}/${content.length}`;
      response.setHeader("content-range", range);
    }
    response.statusCode = from > 0 ? 206 : 200;
    response.write(content.subarray(from, from + sizeBytes), () => {
      setTimeout(() => response.destroy(), 20);
    });
  };
}

function status(code: number): Answer {
  return (_, response) => response.writeHead(code).end("no");
}

const wrongBytes: Answer = (_, response) => response.end(Buffer.alloc(content.length, 1));

function wantedFile(changes: Partial<VerifiedFile> = {}): VerifiedFile {
  return {
    what: "the package x 1",
    urls: [`${base}/pool/x.deb`],
    path: join(folder, "debs", "x"),
    sizeBytes: content.length,
    digest,
    adviceWhenGone: "Take the newer one with --update.",
    ...changes,
  };
}

async function fetchIt(changes: Partial<VerifiedFile> = {}, verify = false): Promise<Buffer> {
  return await readFile(await fetchVerified(wantedFile(changes), { transport, retry, verify }));
}

async function refused(run: Promise<unknown>): Promise<ImageError> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ImageError, String(error));
    return error;
  }
  assert.fail("it was fetched");
}

async function leftInFolder(): Promise<string[]> {
  return (await readdir(join(folder, "debs"))).sort();
}

test("fetchVerified brings a file under its name, and nothing else", async () => {
  assert.deepEqual(await fetchIt(), content);
  assert.deepEqual(await leftInFolder(), ["x"]);
});

test("fetchVerified trusts what is cached by name and size, and hashes it when asked", async () => {
  await fetchIt();
  const path = wantedFile().path;
  const damaged = Buffer.from(content);
  damaged[0]! ^= 1;
  await writeFile(path, damaged);
  assert.deepEqual(await fetchIt(), damaged);
  assert.equal(seen.length, 1);
  assert.deepEqual(await fetchIt({}, true), content);
  await writeFile(path, "short");
  assert.deepEqual(await fetchIt(), content);
});

test("fetchVerified continues after cuts, on the condition that the file is the same", async () => {
  answers = [cutAfter(20_000), cutAfter(10_000), whole];
  assert.deepEqual(await fetchIt(), content);
  assert.equal(seen[0]!.headers.range, undefined);
  assert.match(seen[1]!.headers.range!, /^bytes=\d+-$/);
  assert.equal(seen[1]!.headers["if-range"], '"v1"');
  const from = seen.map(({ headers }) => Number(/\d+/.exec(headers.range ?? "0")![0]));
  assert.ok(from[0]! < from[1]! && from[1]! < from[2]!, from.join());
});

test("fetchVerified starts from zero where ranges are ignored, and counts bytes once", async () => {
  const ignoring: Answer = (_, response) => response.end(content);
  answers = [cutAfter(20_000), ignoring];
  let sumBytes = 0;
  const onBytes = (deltaBytes: number) => {
    sumBytes += deltaBytes;
  };
  const path = await fetchVerified(wantedFile(), { transport, retry, onBytes });
  assert.deepEqual(await readFile(path), content);
  assert.equal(sumBytes, content.length);
});

test("fetchVerified gives up after three cuts, and the next call goes on from there", async () => {
  answers = [cutAfter(10_000)];
  const error = await refused(fetchIt());
  assert.equal(error.code, "network");
  assert.match(error.message, /the package x 1 from 127\.0\.0\.1:\d+: .*tried 3 times.*--mirror/);
  assert.equal(seen.length, 3);
  assert.equal((await leftInFolder()).length, 1);
  answers = [whole];
  seen = [];
  assert.deepEqual(await fetchIt(), content);
  assert.match(seen[0]!.headers.range!, /^bytes=\d+-$/);
  assert.deepEqual(await leftInFolder(), ["x"]);
});

test("fetchVerified tries again when a server is in trouble", async () => {
  answers = [status(500), status(503), whole];
  assert.deepEqual(await fetchIt(), content);
  answers = [status(500)];
  const error = await refused(fetchIt({ path: join(folder, "debs", "y") }));
  assert.equal(error.code, "network");
  assert.match(error.message, /status 500/);
});

test("fetchVerified gives up a connection that stalls, before the head and within the body", async () => {
  const silent: Answer = () => undefined;
  const stalling: Answer = (_, response) => {
    response.setHeader("content-length", content.length);
    response.write(content.subarray(0, 1000));
  };
  answers = [silent, stalling, whole];
  assert.deepEqual(await fetchIt(), content);
  answers = [stalling];
  const error = await refused(fetchIt({ path: join(folder, "debs", "y") }));
  assert.equal(error.code, "network");
  assert.match(error.message, /nothing came for 0\.2 s/);
});

test("fetchVerified does not keep wrong bytes, and tries them once from the start", async () => {
  answers = [wrongBytes];
  const error = await refused(fetchIt());
  assert.equal(error.code, "hash");
  assert.match(error.message, new RegExp(`brought sha256 .*wanted sha256 ${digest.hex}`));
  assert.equal(seen.length, 2);
  assert.deepEqual(await leftInFolder(), []);
  answers = [wrongBytes, whole];
  assert.deepEqual(await fetchIt(), content);
});

test("fetchVerified refuses other sizes, announced or not", async () => {
  const long = Buffer.concat([content, content]);
  const chunked: Answer = (_, response) => {
    response.write(long);
    response.end();
  };
  for (const answer of [(_: unknown, response: ServerResponse) => response.end(long), chunked]) {
    answers = [answer];
    assert.equal((await refused(fetchIt())).code, "hash");
  }
  assert.deepEqual(await leftInFolder(), []);
});

test("fetchVerified finds a damaged part out, and fetches it anew", async () => {
  answers = [cutAfter(10_000)];
  await refused(fetchIt());
  const [part] = await leftInFolder();
  await writeFile(join(folder, "debs", part!), Buffer.alloc(30_000, 1));
  answers = [whole];
  assert.deepEqual(await fetchIt(), content);
});

test("fetchVerified uses a part that is complete, and drops one that is too long", async () => {
  await fetchIt();
  await rm(wantedFile().path);
  seen = [];
  const part = `${wantedFile().path}.${partHost()}-${deadPid()}-1.part`;
  await writeFile(part, content);
  assert.deepEqual(await fetchIt(), content);
  assert.equal(seen.length, 0);
  await rm(wantedFile().path);
  await writeFile(part, Buffer.concat([content, content]));
  assert.deepEqual(await fetchIt(), content);
});

test("fetchVerified leaves the parts of living writers alone, and takes over abandoned ones", async () => {
  await fetchIt({ path: join(folder, "debs", "other") });
  const living = `x.${partHost()}-${process.ppid}-1.part`;
  const elsewhere = "x.other-host-1-1.part";
  const abandoned = "x.another-host-1-1.part";
  for (const name of [living, elsewhere, abandoned]) {
    await writeFile(join(folder, "debs", name), content.subarray(0, 100));
  }
  const longAgo = new Date(Date.now() - 86_400_000);
  await utimes(join(folder, "debs", abandoned), longAgo, longAgo);
  seen = [];
  assert.deepEqual(await fetchIt(), content);
  assert.equal(seen[0]!.headers.range, "bytes=100-");
  assert.deepEqual(await leftInFolder(), ["other", "x", elsewhere, living].sort());
});

test("fetchVerified says that a file is gone, and asks the other URLs first", async () => {
  answers = [status(404)];
  const error = await refused(fetchIt());
  assert.equal(error.code, "gone");
  assert.match(error.message, /the package x 1.*not there \(status 404\).*--update/);
  assert.equal(seen.length, 1);
  answers = [status(404), whole];
  assert.deepEqual(await fetchIt({ urls: [`${base}/a`, `${base}/b`] }), content);
});

test("fetchVerified names a refusal and a host that is not there, without passwords", async () => {
  answers = [status(403)];
  const denied = await refused(fetchIt());
  assert.equal(denied.code, "network");
  assert.match(denied.message, /status 403/);
  const urls = ["http://user:secret@127.0.0.1:1/x.deb"];
  const error = await refused(fetchIt({ urls }));
  assert.equal(error.code, "network");
  assert.match(error.message, /127\.0\.0\.1:1: .*ECONNREFUSED/);
  assert.doesNotMatch(error.message, /secret/);
});

test("fetchVerified follows redirects, and does not follow them in circles", async () => {
  const redirect: Answer = (_, response) => {
    response.writeHead(302, { location: "/elsewhere" }).end();
  };
  answers = [redirect, whole];
  assert.deepEqual(await fetchIt(), content);
  assert.equal(seen[1]!.url, "/elsewhere");
  answers = [redirect];
  const error = await refused(fetchIt({ path: join(folder, "debs", "y") }));
  assert.match(error.message, /more than 5 redirects/);
});

test("fetchVerified says when the disk is full, with path and need", async (t) => {
  if (!existsSync("/dev/full")) {
    assert.notEqual(process.platform, "linux", "Linux has /dev/full");
    t.skip("/dev/full is not there");
    return;
  }
  await fetchIt({ path: join(folder, "debs", "other") });
  await symlink("/dev/full", `${wantedFile().path}.${partHost()}-${deadPid()}-1.part`);
  const error = await refused(fetchIt());
  assert.equal(error.code, "disk-full");
  assert.match(error.message, new RegExp(`${content.length} more bytes`));
});

test("fetchVerified ends with the signal's reason, keeping what came", async () => {
  const reason = new Error("enough");
  const aborter = new AbortController();
  answers = [
    (_, response) => {
      response.setHeader("content-length", content.length);
      response.write(content.subarray(0, 1000));
    },
  ];
  const running = fetchVerified(wantedFile(), {
    transport,
    retry,
    signal: aborter.signal,
    onBytes: (deltaBytes) => deltaBytes > 0 && aborter.abort(reason),
  });
  await assert.rejects(running, reason);
  assert.equal((await leftInFolder()).length, 1);
  await assert.rejects(fetchVerified(wantedFile(), { transport, signal: aborter.signal }), reason);
});

test("fetchVerified brings one file to several callers at a time", async () => {
  const results = await Promise.all(Array.from({ length: 5 }, () => fetchIt()));
  assert.ok(results.every((result) => result.equals(content)));
  assert.deepEqual(await leftInFolder(), ["x"]);
});

test("fetchSmall brings bytes past caches, with tries and a limit", async () => {
  const file = { what: "it", url: `${base}/InRelease`, adviceWhenGone: "" };
  answers = [status(502), cutAfter(100), whole];
  const bytes = await fetchSmall({ ...file, sizeBytesMax: 50_000 }, { transport, retry });
  assert.deepEqual(bytes, content);
  assert.equal(seen[0]!.headers["cache-control"], "max-age=0");
  const error = await refused(fetchSmall({ ...file, sizeBytesMax: 49_999 }, { transport, retry }));
  assert.equal(error.code, "hash");
});

test("openTransport sends requests through the proxy that it is told", async () => {
  const proxied = openTransport({ proxy: { http: base, except: [], hosts: {} } });
  const urls = ["http://mirror.example.org/pool/x.deb"];
  const path = await fetchVerified(wantedFile({ urls }), { transport: proxied, retry });
  await proxied[Symbol.asyncDispose]();
  assert.deepEqual(await readFile(path), content);
  assert.equal(seen[0]!.url, "http://mirror.example.org/pool/x.deb");
});

function partHost(): string {
  return hostname().replace(/[^\w.]/g, "_") || "localhost";
}

/** A process id that no system gives out: above the kernel's limit of 2^22. */
function deadPid(): number {
  return 2 ** 22 + 1;
}

/** Packages whose contents are their names, so that one server can tell them apart. */
function lockedPackage(name: string): LockedPackage {
  return {
    name,
    version: "1",
    architecture: "amd64",
    archive: "debian",
    path: `pool/${name}.deb`,
    sizeBytes: name.length,
    sha256: sha256(Buffer.from(name)),
    scripts: {},
  };
}

const byName: Answer = (request, response) => {
  const name = /^\/debian\/pool\/([^/]+)\.deb$/.exec(decodeURI(request.url ?? ""))?.[1] ?? "";
  response.statusCode = name.startsWith("gone") ? 404 : 200;
  response.end(name);
};

test("fetchPackages brings all, reports progress, and fetches nothing twice", async () => {
  answers = [byName];
  const packages = Array.from({ length: 20 }, (_, index) => lockedPackage(`lib+~${index}`));
  const reports: FetchProgress[] = [];
  const options = {
    mirrors: { debian: `${base}/debian/` },
    cacheDirectory: folder,
    transport,
    retry,
    onProgress: (progress: FetchProgress) => reports.push(progress),
  };
  const files = await fetchPackages(packages, options);
  for (const { name, sha256: hash } of packages) {
    assert.equal(files.get(name), join(folder, "debs", "sha256", hash));
    assert.equal(await readFile(files.get(name)!, "utf8"), name);
  }
  const totalBytes = packages.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const done = { doneBytes: totalBytes, totalBytes, doneFiles: 20, totalFiles: 20 };
  assert.deepEqual(reports.at(-1), done);
  assert.equal(seen.length, 20);
  await fetchPackages(packages, options);
  assert.equal(seen.length, 20);
  assert.deepEqual(reports.at(-1), done);
});

test("fetchPackages names all packages that are gone", async () => {
  answers = [byName];
  const packages = ["a", "gone-1", "b", "gone-2"].map(lockedPackage);
  const error = await refused(
    fetchPackages(packages, {
      mirrors: { debian: `${base}/debian` },
      cacheDirectory: folder,
      transport,
      retry,
    }),
  );
  assert.equal(error.code, "gone");
  assert.deepEqual(error.facts.packages, ["gone-1 1", "gone-2 1"]);
  assert.match(error.message, /gone-1 1, gone-2 1\. Take those with --update/);
});

test("fetchPackages ends at the first other failure, and refuses unknown archives", async () => {
  answers = [wrongBytes];
  const options = {
    mirrors: { debian: `${base}/debian` },
    cacheDirectory: folder,
    transport,
    retry,
  };
  const packages = ["a", "b", "c"].map(lockedPackage);
  assert.equal((await refused(fetchPackages(packages, options))).code, "hash");
  const foreign = { ...lockedPackage("a"), archive: "local" };
  assert.equal((await refused(fetchPackages([foreign], options))).code, "lock");
});

test("fetchPackages refuses before the first byte when the disk is too small", async () => {
  const huge = { ...lockedPackage("a"), sizeBytes: Number.MAX_SAFE_INTEGER };
  const error = await refused(
    fetchPackages([huge], { mirrors: { debian: base }, cacheDirectory: folder, transport }),
  );
  assert.equal(error.code, "disk-full");
  assert.equal(seen.length, 0);
});
