import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { DhchapSecret } from "../nvme/index.ts";
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
  const [secret, controllerSecret] = [1, 2].map((byte) => {
    return new DhchapSecret(new Uint8Array(32).fill(byte)).reveal();
  });
  await writeFile(path, `# of the lab\n${secret}\n\n${controllerSecret}\n`);
  const access = { secret, controllerSecret };
  const hostnqn = "nqn.2026-11.org.example:host";
  const named = await readServeOptions(["a.img", "--secret", path, "--allow", hostnqn]);
  assert.deepEqual(named.hosts, new Map([[hostnqn, access]]));
  const all = await readServeOptions(["a.img", "--secret", path]);
  assert.deepEqual(all.hosts, new Map([["*", access]]));
  assert.equal((await readServeOptions(["--memory", "1M"])).hosts, "any");
});

test("readServeOptions refuses what makes no sense, and says what does", async () => {
  const noKey = join(folder, "no-key");
  await writeFile(noKey, "hello\n");
  const empty = join(folder, "empty");
  await writeFile(empty, "# nothing\n");
  const table: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [[], /Name what to serve/],
    [["a.img", "--read-only", "--overlay"], /leave --read-only out/],
    [["a.img", "--secret", join(folder, "none")], /Cannot read the key in .*none/],
    [["a.img", "--secret", noKey], /Cannot use the key in .*no-key: it does not start with/],
    [["a.img", "--tls", noKey], /Cannot use the key in .*no-key: it does not start with/],
    [["a.img", "--tls", empty], /There is no key in .*empty/],
    [["a.img", "--memory", "much"], /64M or 2G/],
    [["--memory", "1000"], /--memory takes whole blocks of 512 bytes/],
    [["--memory", "6K", "--block-size", "4K"], /--memory takes whole blocks of 4096 bytes/],
    [["a.img", "--block-size", "100"], /power of two from 512 to 64K/],
    [["a.img", "--block-size", "3K"], /power of two/],
    [["a.img", "--block-size", "8M"], /power of two/],
    [["a.img", "--nqn", "disk"], /--nqn takes an NVMe qualified name.*not "disk"/],
    [["a.img", "--allow", "somebody"], /--allow takes an NVMe qualified name/],
    [["a.img", "--nonsense"], /no option "--nonsense"/],
    [["a.img", "--tls-from-secret"], /add --secret FILE/],
  ];
  for (const [args, message] of table) {
    await assert.rejects(readServeOptions(args), (error) => {
      assert(error instanceof UsageError, args.join(" "));
      assert.match(error.message, message);
      return true;
    });
  }
});
