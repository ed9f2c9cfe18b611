import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FlashError, type FlashErrorCode } from "../error.ts";
import { noise } from "../testing/fixtures.ts";
import { isRandom, readFully } from "./byte-source.ts";
import { fetchSmallFile, openHttpSource } from "./driver-http.ts";

const file = Buffer.from(noise(300_000));
const quick = { retryDelaysMs: [1, 1, 1] };

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server on this machine; `ranges` lists the Range headers that came. */
async function serve(answer: Answer) {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    answer(request, response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/os.raw`,
    ranges,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Serves the file with ranges, and cuts each answer after `cutBytes`. */
function cutting(cutBytes: number, etagOf = (_count: number) => '"one"'): Answer {
  let count = 0;
  return (request, response) => {
    const etag = etagOf(count++);
    const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const isSame = request.headers["if-range"] === etag;
    const from = match && isSame ? Number(match[1]) : 0;
    const end = match?.[2] ? Number(match[2]) + 1 : file.length;
    const body = file.subarray(from, end);
    response.writeHead(from > 0 ? 206 : 200, {
      etag,
      "accept-ranges": "bytes",
      "content-length": body.length,
      ...(from > 0 ? { "content-range": `bytes ${from}-${end - 1}/${file.length}` } : {}),
    });
    if (body.length <= cutBytes) response.end(body);
    else response.write(body.subarray(0, cutBytes), () => response.destroy());
  };
}

async function readAll(url: string): Promise<Buffer> {
  await using source = await openHttpSource(url, quick);
  const target = Buffer.alloc(file.length + 1);
  return target.subarray(0, await readFully(source, target));
}

function isCode(code: FlashErrorCode) {
  return (error: unknown) => error instanceof FlashError && error.code === code;
}

test("openHttpSource continues after every cut with what is left, if it is the same file", async () => {
  await using server = await serve(cutting(100_000));
  assert.ok((await readAll(server.url)).equals(file));
  assert.equal(server.ranges[0], undefined);
  assert.ok(server.ranges.length >= 3 && server.ranges.slice(1).every((range) => range));
});

test("openHttpSource refuses to continue with another file", async () => {
  await using server = await serve(cutting(100_000, (count) => (count === 0 ? '"one"' : '"two"')));
  await assert.rejects(readAll(server.url), isCode("source-changed"));
});

test("openHttpSource refuses to continue where the server does not vouch for the file", async () => {
  await using server = await serve((_, response) => {
    response.writeHead(200, { "content-length": file.length });
    response.write(file.subarray(0, 1000), () => response.destroy());
  });
  await assert.rejects(readAll(server.url), isCode("source-changed"));
});

test("openHttpSource gives up a server that keeps failing, and names a file that is not there", async () => {
  for (const [status, code] of [
    [503, "network"],
    [404, "source-missing"],
  ] as const) {
    await using server = await serve((_, response) => response.writeHead(status).end());
    await assert.rejects(readAll(server.url), isCode(code));
    assert.equal(server.ranges.length, status === 503 ? 4 : 1);
  }
});

test("openHttpSource waits for a reader that pauses, and not for a server that does", async () => {
  const large = Buffer.alloc(32 * 1024 * 1024, "large");
  // Without a validator: what is cut cannot be continued.
  await using server = await serve((_, response) => {
    response.writeHead(200, { "content-length": large.length }).end(large);
  });
  const patience = { ...quick, stallTimeoutMs: 100 };
  await using source = await openHttpSource(server.url, patience);
  const target = Buffer.alloc(large.length);
  let length = 0;
  for (const pausedMs of [0, 350, 350]) {
    await sleep(pausedMs);
    length += await source.read(target.subarray(length, length + 1));
  }
  length += await readFully(source, target.subarray(length));
  assert.ok(length === large.length && target.equals(large));
  await using stalling = await serve((_, response) => {
    response.writeHead(200, { "content-length": file.length }).write(file.subarray(0, 1000));
  });
  await using stalled = await openHttpSource(stalling.url, patience);
  await sleep(250);
  await assert.rejects(readFully(stalled, target), isCode("source-changed"));
});

test("openHttpSource refuses what the server packs on the way", async () => {
  await using server = await serve((_, response) => {
    response.writeHead(200, { "content-encoding": "gzip" }).end("x");
  });
  await assert.rejects(readAll(server.url), isCode("format"));
});

test("openHttpSource follows redirects, and not for ever", async () => {
  await using last = await serve(cutting(file.length));
  await using first = await serve((_, response) => {
    response.writeHead(302, { location: last.url }).end();
  });
  assert.ok((await readAll(first.url)).equals(file));
  await using loop = await serve((_, response) => {
    response.writeHead(302, { location: "/os.raw" }).end();
  });
  await assert.rejects(readAll(loop.url), isCode("source-missing"));
});

test("openHttpSource brings any part where the server takes ranges", async () => {
  await using server = await serve(cutting(file.length));
  await using source = await openHttpSource(server.url, quick);
  assert.ok(isRandom(source));
  const part = Buffer.alloc(500);
  assert.equal(await source.readAt(file.length - 300, part), 300);
  assert.ok(part.subarray(0, 300).equals(file.subarray(-300)));
  assert.equal(await source.readAt(1000, part), 500);
  assert.ok(part.equals(file.subarray(1000, 1500)));
});

test("fetchSmallFile brings a file, tells of one that is not there, and bounds it", async () => {
  await using server = await serve((request, response) => {
    if (request.url === "/none") response.writeHead(404).end();
    else response.end("sum");
  });
  const at = (path: string) => new URL(path, server.url).href;
  assert.equal(Buffer.from((await fetchSmallFile(at("/sum"), 100, quick)) ?? []).toString(), "sum");
  assert.equal(await fetchSmallFile(at("/none"), 100, quick), undefined);
  await assert.rejects(fetchSmallFile(at("/sum"), 2, quick), isCode("sidecar"));
});

test("fetchSmallFile asks again for a file that was cut, and gives it up as the image is", async () => {
  await using server = await serve(({ url }, response) => {
    response.writeHead(200, { "content-length": 6 });
    const isCut = url === "/always" || server.ranges.length === 1;
    if (isCut) response.write("sum", () => response.destroy());
    else response.end("sums!!");
  });
  const at = (path: string) => new URL(path, server.url).href;
  const found = await fetchSmallFile(at("/once"), 100, quick);
  assert.equal(Buffer.from(found ?? []).toString(), "sums!!");
  await assert.rejects(fetchSmallFile(at("/always"), 100, quick), isCode("network"));
});
