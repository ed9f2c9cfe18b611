/** Announcements on a network of the test's own: real sockets, real multicast, no virtual machine. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { makeScratchFolder } from "../src/vm/index.ts";
import { makeNetwork } from "./driver-network.ts";
import { has, rootFault, toolEnv } from "./driver-tools.ts";

const announcer = join(import.meta.dirname, "driver-announcer.ts");
const main = join(import.meta.dirname, "../src/cli/main.ts");

const skip = rootFault("a network with multicast");

test("ls hears who announces itself where there are link-local addresses only", {
  skip,
}, async (t) => {
  if (!(await has(t, "ip"))) return;
  await using scratch = await makeScratchFolder();
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await makeNetwork(0));
  const announce = async (...args: readonly string[]) => {
    const child = network.start(process.execPath, [announcer, network.bridge, ...args]);
    stack.defer(async () => {
      child.kill("SIGKILL");
      await once(child, "close");
    });
    const [said] = await once(child.stdout!, "data");
    assert.equal(String(said), "ready\n");
  };
  const key = "hostkey=SHA256:x";
  await announce(
    "fe80::b0c5",
    "_diskomator._tcp",
    "lunch-feta-olive",
    "22",
    "name=lunch-feta",
    key,
  );
  await announce("169.254.7.7", "_nvme-disc._tcp", "array", "8009", "p=tcp");
  const env = { ...toolEnv, HOME: scratch.path, XDG_CONFIG_HOME: scratch.path };
  const look = async () => {
    const { stdout, stderr } = await network.run(process.execPath, [main, "ls", "--json"], env);
    return JSON.parse(stdout.trim() || `"${stderr}"`);
  };
  // It listens for a second or so; on a busy machine an answer may take longer.
  let { boxes, others } = await look();
  for (let more = 4; more > 0 && others.length === 0; more--) ({ boxes, others } = await look());
  assert.deepEqual(
    boxes.map(({ name, address, code }: Record<string, unknown>) => ({ name, address, code })),
    [{ name: "lunch-feta", address: `fe80::b0c5%${network.bridge}`, code: "unreachable" }],
  );
  assert.deepEqual(others, [
    {
      kind: "discovery",
      name: "array",
      port: 8009,
      addresses: ["169.254.7.7"],
      text: { p: "tcp" },
    },
  ]);
});
