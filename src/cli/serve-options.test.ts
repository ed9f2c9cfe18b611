import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { UsageError } from "./exit.ts";
import { parseListen, parseSize, readServeOptions } from "./serve-options.ts";

const folder = await mkdtemp(join(tmpdir(), "diskomator-serve-"));
after(() => rm(folder, { recursive: true }));

const addresses = [
  ["127.0.0.1", "127.0.0.1", 4420],
  ["0.0.0.0:4421", "0.0.0.0", 4421],
  [":4421", "0.0.0.0", 4421],
  ["box.example.org", "box.example.org", 4420],
  ["[::]:8000", "::", 8000],
  ["::1", "::1", 4420],
] as const;

test("parseListen takes addresses with and without a port", () => {
  for (const [text, host, port] of addresses) assert.deepEqual(parseListen(text), { host, port });
  assert.throws(() => parseListen("a:b"), UsageError);
  assert.throws(() => parseListen("127.0.0.1:70000"), UsageError);
});

test("parseSize takes bytes and powers of 1024", () => {
  assert.deepEqual(["512", "64K", "2m", "1G", "1T"].map(parseSize), [
    512,
    65536,
    2 ** 21,
    2 ** 30,
    2 ** 40,
  ]);
  for (const text of ["", "0", "1.5G", "-1", "1X"])
    assert.throws(() => parseSize(text), UsageError);
});

test("readServeOptions gives every allowed host the secret of the file", async () => {
  const path = join(folder, "secret");
  await writeFile(path, "# of the lab\nDHHC-1:00:one\n\nDHHC-1:00:two\n");
  const access = { secret: "DHHC-1:00:one", controllerSecret: "DHHC-1:00:two" };
  const named = await readServeOptions(["a.img", "--secret", path, "--allow", "nqn.x"]);
  assert.deepEqual(named.hosts, new Map([["nqn.x", access]]));
  const all = await readServeOptions(["a.img", "--secret", path]);
  assert.deepEqual(all.hosts, new Map([["*", access]]));
  assert.equal((await readServeOptions(["--memory", "1M"])).hosts, "any");
});

test("readServeOptions refuses what makes no sense", async () => {
  const wrongs = [
    [],
    ["a.img", "--read-only", "--overlay"],
    ["a.img", "--secret", join(folder, "none")],
    ["a.img", "--memory", "much"],
    ["a.img", "--nonsense"],
    ["a.img", "--tls-from-secret"],
  ];
  for (const args of wrongs) await assert.rejects(readServeOptions(args), UsageError);
});
