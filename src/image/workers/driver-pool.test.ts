import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { zstdDecompressSync } from "node:zlib";
import { ImageError } from "../error.ts";
import { readCpio } from "../segment/index.ts";
import { builtinFilters } from "../unpack/index.ts";
import { openWorkerPool } from "./driver-pool.ts";
import { nodeSegmentKey, packageSegmentKey } from "./driver-segments.ts";
import { packError, unpackError } from "./message.ts";
import { decompressInWorkers } from "./xz-file.ts";

/** A worker whose program is `code`; `port` and `done(value)` are there for it. */
const workerOf = (code: string) =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { parentPort as port } from "node:worker_threads";
      const done = (value) => port.postMessage({ kind: "done", value });
      port.on("message", ({ input }) => { ${code} });
    `)}`,
  );
const echo = workerOf("done(input)");
const input = (text: string) => ({ file: new Uint8Array(0), source: text });

async function withFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "workers-"));
  try {
    await run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("WorkerPool.run runs one task per thread at a time, the heaviest first", async () => {
  const order: string[] = [];
  await using pool = openWorkerPool({ threads: 1, workerUrl: echo });
  const weights = [1, 5, 3, 9, 3];
  await Promise.all(
    weights.map(async (weight, i) => {
      await pool.run("xzFile", input(""), { weight });
      order.push(`${weight}#${i}`);
    }),
  );
  // The first one found the thread idle; equals keep their order.
  assert.deepEqual(order, ["1#0", "9#3", "5#1", "3#2", "3#4"]);
});

test("WorkerPool.run moves the buffers that it is told to move", async () => {
  await using pool = openWorkerPool({ threads: 1, workerUrl: echo });
  const file = Uint8Array.of(1, 2, 3);
  const running = pool.run("xzFile", { file, source: "" }, { transfer: [file.buffer] });
  assert.equal(file.byteLength, 0);
  assert.deepEqual(await running, { file: Uint8Array.of(1, 2, 3), source: "" });
});

test("WorkerPool.run rejects when its worker dies, and the next task gets a new one", async () => {
  const workerUrl = workerOf(`
    if (input.source === "exit") process.exit(3);
    if (input.source === "throw") throw new Error("broken inside");
    done("ok");
  `);
  await using pool = openWorkerPool({ threads: 1, workerUrl });
  const died = { name: "ImageError", code: "io" };
  const [exit, thrown, ok] = await Promise.allSettled(
    ["exit", "throw", "fine"].map((text) => pool.run("xzFile", input(text))),
  );
  assert.ok(exit?.status === "rejected" && thrown?.status === "rejected");
  assert.throws(
    () => {
      throw exit.reason;
    },
    { ...died, message: /xzFile died: The thread ended with 3/ },
  );
  assert.throws(
    () => {
      throw thrown.reason;
    },
    { ...died, message: /xzFile died: broken inside/ },
  );
  assert.deepEqual(ok, { status: "fulfilled", value: "ok" });
});

test("WorkerPool.run ends by its signal: before, while waiting, and while running", async () => {
  const workerUrl = workerOf(`if (input.source === "ok") done("ok");`);
  await using pool = openWorkerPool({ threads: 1, workerUrl });
  const reason = new Error("enough");
  await assert.rejects(
    pool.run("xzFile", input(""), { signal: AbortSignal.abort(reason) }),
    reason,
  );

  const running = new AbortController();
  const waiting = new AbortController();
  const first = pool.run("xzFile", input("never"), { signal: running.signal });
  const second = pool.run("xzFile", input("never"), { signal: waiting.signal });
  const third = pool.run("xzFile", input("ok"));
  waiting.abort(reason);
  await assert.rejects(second, reason);
  running.abort(reason);
  await assert.rejects(first, reason);
  assert.equal(await third, "ok");
});

test("WorkerPool disposal rejects what has not ended, and may be repeated", async () => {
  const pool = openWorkerPool({ threads: 1, workerUrl: workerOf("") });
  const tasks = ["running", "waiting"].map((text) => pool.run("xzFile", input(text)));
  const settled = Promise.allSettled(tasks);
  await pool[Symbol.asyncDispose]();
  await pool[Symbol.asyncDispose]();
  for (const { status } of await settled) assert.equal(status, "rejected");
  await assert.rejects(pool.run("xzFile", input("late")), /the pool of workers is closed/);
});

test("unpackError gives back the class, code, facts and causes that packError took", () => {
  const cause = new RangeError("deep", { cause: "text" });
  const error = new ImageError("hash", "wrong", { path: "x" }, { cause });
  const back = unpackError(structuredClone(packError(error)));
  assert.ok(back instanceof ImageError);
  assert.deepEqual([back.code, back.message, back.facts], ["hash", "wrong", { path: "x" }]);
  assert.equal(back.stack, error.stack);
  assert.ok(back.cause instanceof Error && back.cause.cause instanceof Error);
  assert.deepEqual([back.cause.name, back.cause.message], ["RangeError", "deep"]);
  assert.equal(back.cause.cause.message, "text");
});

test("packError stops at a cause that leads back to itself", () => {
  const error = new Error("loop");
  error.cause = error;
  assert.equal(unpackError(packError(error)).message, "loop");
});

/** A package of one unit, made by dpkg-deb, as an input of `packageSegment`. */
function packageInput(folder: string) {
  const tree = join(folder, "tree");
  const unit = `${tree}/lib/systemd/system`;
  execFileSync("mkdir", ["-m", "755", "-p", `${tree}/DEBIAN`, unit, `${tree}/usr/share/doc/box`]);
  const control = "Package: box\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n";
  writeFileSync(`${tree}/DEBIAN/control`, control);
  writeFileSync(`${tree}/DEBIAN/postinst`, "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(`${unit}/box.service`, "[Unit]\n");
  writeFileSync(`${tree}/usr/share/doc/box/copyright`, "MIT\n");
  const path = join(folder, "box.deb");
  execFileSync("dpkg-deb", ["-b", tree, path], { stdio: "pipe" });
  return {
    path,
    sha256: createHash("sha256").update(readFileSync(path)).digest("hex"),
    codec: { kind: "zstd", level: 3 } as const,
    cacheDirectory: join(folder, "segments"),
    rules: {
      filters: builtinFilters,
      keepSetuid: [],
      capture: ["usr/share/doc/*/copyright"],
      userIds: {},
      groupIds: {},
      epochSeconds: 1000,
    },
  };
}

test("packageSegment makes a segment once, then finds it, and makes it again when damaged", () =>
  withFolder(async (folder) => {
    const events: string[] = [];
    const log = (event: string) => events.push(event);
    await using pool = openWorkerPool({ threads: 1, log });
    const order = packageInput(folder);
    const made = await pool.run("packageSegment", order);
    assert.equal(made.key, packageSegmentKey(order));
    assert.equal(made.cached, false);
    assert.deepEqual(made.listing.captured, { "usr/share/doc/box/copyright": { text: "MIT\n" } });
    assert.equal(made.listing.control.Package, "box");
    const postinst = createHash("sha256").update("#!/bin/sh\n").digest("hex");
    assert.deepEqual(made.listing.scripts, { postinst });
    const { entries } = readCpio(zstdDecompressSync(readFileSync(made.path)), "x");
    const unit = "usr/lib/systemd/system/box.service";
    assert.deepEqual(
      entries.map(({ path }) => path),
      ["usr", "usr/lib", "usr/lib/systemd", "usr/lib/systemd/system", unit],
    );
    assert.ok(entries.every(({ mtimeSeconds }) => mtimeSeconds === 1000));

    assert.deepEqual(await pool.run("packageSegment", order), { ...made, cached: true });
    truncateSync(made.path, 7);
    assert.deepEqual(await pool.run("packageSegment", order), made);
    assert.deepEqual(events, ["segment-damaged"]);
  }));

test("packageSegment's refusals arrive as the same ImageError", () =>
  withFolder(async (folder) => {
    await using pool = openWorkerPool({ threads: 1 });
    const order = packageInput(folder);
    const wanted = "0".repeat(64);
    const facts = { path: order.path, algorithm: "sha256", found: order.sha256, wanted };
    await assert.rejects(pool.run("packageSegment", { ...order, sha256: wanted }), {
      name: "ImageError",
      code: "hash",
      message: /^Cannot use .*box\.deb: its sha256 is .*, but the lock says 0000/,
      facts,
    });
    const gone = { ...order, path: join(folder, "gone.deb") };
    await assert.rejects(pool.run("packageSegment", gone), { name: "ImageError", code: "io" });
    writeFileSync(order.path, "no package");
    const sha256 = createHash("sha256").update("no package").digest("hex");
    await assert.rejects(pool.run("packageSegment", { ...order, sha256 }), { code: "package" });
  }));

test("packageSegmentKey and nodeSegmentKey depend on what shapes bytes, not on paths", () => {
  const codec = { kind: "store" } as const;
  const node = { path: "/a", integrity: "sha512-x", epochSeconds: 1, codec, cacheDirectory: "/c" };
  assert.equal(nodeSegmentKey({ ...node, path: "/b", cacheDirectory: "/d" }), nodeSegmentKey(node));
  assert.notEqual(nodeSegmentKey({ ...node, epochSeconds: 2 }), nodeSegmentKey(node));
  const rules = { keepSetuid: [], capture: [], userIds: {}, groupIds: {}, epochSeconds: 1 };
  const order = { ...node, sha256: "aa", rules: { ...rules, filters: builtinFilters } };
  assert.equal(packageSegmentKey({ ...order, path: "/b" }), packageSegmentKey(order));
  const changed = [{ filters: [] }, { keepSetuid: ["x"] }, { epochSeconds: 2 }].map((change) =>
    packageSegmentKey({ ...order, rules: { ...order.rules, ...change } }),
  );
  assert.equal(new Set([...changed, packageSegmentKey(order)]).size, 4);
});

test("decompressInWorkers joins the blocks of an .xz file in their order", async () => {
  await using pool = openWorkerPool({ threads: 2 });
  const text = Array.from({ length: 9000 }, (_, i) => `line ${i}\n`).join("");
  const xz = (...options: string[]) =>
    new Uint8Array(execFileSync("xz", ["-c", "-T1", ...options], { input: text }));
  for (const file of [xz("--block-size=20000"), xz(), new TextEncoder().encode(text)]) {
    const whole = await decompressInWorkers(file, "x", pool);
    assert.equal(Buffer.from(whole).toString(), text);
  }
});
