/** Ending the machine, with programs of our own in systemd's place. */
import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { boxTools } from "./driver-box-tools.ts";
import { SoftTarget } from "./driver-soft-target.ts";
import { ApplianceError } from "./error.ts";

/** A machine whose `systemctl` ends so. */
async function machineWith(exitCode: number) {
  const root = await mkdtemp(join(tmpdir(), "diskomator-tools-"));
  const path = process.env.PATH ?? "";
  const program = join(root, "systemctl");
  await writeFile(
    program,
    `#!/bin/sh\necho "$@" >> "$0.log"\necho "Access denied" >&2\nexit ${exitCode}\n`,
  );
  await chmod(program, 0o755);
  process.env.PATH = [root, path].join(delimiter);
  const softTarget = new SoftTarget({ root, ipv6: false, log: () => {}, port: 0 });
  return {
    tools: boxTools(root, softTarget, () => {}),
    asked: () => readFile(`${program}.log`, "utf8"),
    [Symbol.asyncDispose]: async () => {
      process.env.PATH = path;
      await rm(root, { recursive: true });
    },
  };
}

test("end begins to end the machine, and says so only then", async () => {
  await using machine = await machineWith(0);
  await machine.tools.end("kexec");
  assert.equal(await machine.asked(), "--no-block kexec\n");
});

test("end says why the machine stays", async () => {
  await using machine = await machineWith(1);
  await assert.rejects(machine.tools.end("reboot"), (error) => {
    assert(error instanceof ApplianceError);
    assert.equal(error.code, "tool");
    assert.match(error.message, /systemctl --no-block reboot failed: Access denied/);
    return true;
  });
});
