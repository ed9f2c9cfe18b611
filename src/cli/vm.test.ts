import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { addKnownBox, type KnownBox, readHome, writeKnownBoxes } from "../box/index.ts";
import { UsageError } from "./exit.ts";
import { homePaths } from "./user-home.ts";
import { makeKnown, stayUp, vm } from "./vm.ts";

const folder = await mkdtemp(join(tmpdir(), "diskomator-vm-test-"));
after(() => rm(folder, { recursive: true }));
process.env.XDG_CONFIG_HOME = folder;

async function knownBoxes(): Promise<readonly KnownBox[]> {
  return (await readHome(homePaths())).knownBoxes;
}

function behind(ssh: number, address = "127.0.0.1"): KnownBox {
  const ports = [[22, ssh] as const, [4420, 1] as const, [4421, 2] as const];
  return { name: "vm", address, ports: new Map(ports) };
}

/** A port of this machine at which somebody listens until the end of the test. */
async function listen(t: { after(run: () => void): void }): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function afterMachine(earlier: KnownBox): Promise<readonly KnownBox[]> {
  await writeKnownBoxes(homePaths(), addKnownBox([], earlier));
  {
    await using _known = await makeKnown("vm", [...behind(1000).ports]);
    assert.deepEqual(await knownBoxes(), [behind(1000)]);
  }
  return await knownBoxes();
}

test("makeKnown gives the name back to a box that had it, and not to a machine that was killed", async (t) => {
  const running = behind(await listen(t));
  assert.deepEqual(await afterMachine(running), [running]);
  const others = [behind(1, "gate.example"), { ...behind(1), ports: new Map([[22, 1]]) }];
  for (const other of others) assert.deepEqual(await afterMachine(other), [other]);
  assert.deepEqual(await afterMachine(behind(1)), []);
});

test("vm --name takes no name that the file of known boxes could not be read with", async () => {
  await writeFile(join(folder, "diskomator.raw"), "");
  for (const name of ["", "my box", "k\u00e4se", "a:b", "-x", "a/b", "x".repeat(64)]) {
    const args = ["--out", folder, `--name=${name}`, "--memory", "0"];
    const { signal } = new AbortController();
    await assert.rejects(vm.run({ args, signal }), (error) => {
      return error instanceof UsageError && /^--name takes /.test(error.message);
    });
  }
});

test("stayUp: a machine that is switched off is no failure, and a QEMU that died is", async () => {
  const { signal } = new AbortController();
  const stay = (code: number | undefined, by: string | undefined) => {
    const exited = Promise.resolve({ code, signal: by, stderr: "out of memory" });
    const machine = { name: "box", commandLine: "qemu", exited, serialLastLines: () => "login:" };
    return stayUp(machine, signal);
  };
  await stay(0, undefined);
  await assert.rejects(stay(undefined, "SIGKILL"), /ended by SIGKILL. It said: out of memory/);
  await assert.rejects(stay(1, undefined), { code: "exited", message: /login:/ });
});
