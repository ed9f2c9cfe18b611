/** What reading and writing variables comes to, on a folder that looks like efivarfs. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { EfiVariables } from "./driver-efi-variables.ts";
import { efiVariables, globalVendor } from "./efi-names.ts";
import { ApplianceError } from "./error.ts";
import { Machine } from "./testing/driver-boot-samples.ts";

const failsFor = (reason: string, message: RegExp) => (error: unknown) => {
  assert(error instanceof ApplianceError, String(error));
  assert.equal(error.facts.reason, reason);
  assert.match(error.message, message);
  return true;
};

test("read tells what is not there from what cannot be read", async () => {
  await using machine = await Machine.make();
  const variables = new EfiVariables(machine.root);
  assert.equal(variables.read("BootNext", globalVendor), null);
  await machine.hide("BootOrder");
  const read = () => variables.read("BootOrder", globalVendor);
  assert.throws(read, failsFor("unreadable", /Cannot read the EFI variable BootOrder \(EISDIR\)/));
});

test("a name that the kernel keeps without a variable is not there, and need not be removed", async () => {
  await using machine = await Machine.make();
  const variables = new EfiVariables(machine.root);
  await writeFile(join(machine.root, efiVariables, `BootNext-${globalVendor}`), "");
  assert.equal(variables.read("BootNext", globalVendor), null);
  await variables.write("BootNext", globalVendor, null);
});

test("write does not write nothing, which would remove the variable", async () => {
  await using machine = await Machine.make();
  const variables = new EfiVariables(machine.root);
  const before = variables.read("BootOrder", globalVendor);
  const write = variables.write("BootOrder", globalVendor, new Uint8Array());
  await assert.rejects(write, failsFor("refused", /without data it would be removed/));
  assert.deepEqual(variables.read("BootOrder", globalVendor), before);
});
