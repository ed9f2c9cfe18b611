import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readDefinitionFiles } from "./driver-definition.ts";
import { smallDefinition } from "./testing/fixtures.ts";

const definition = { ...smallDefinition, filesFrom: "tree" };

/** A folder for a definition, with an empty `tree/etc`. */
async function folderFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "definition-"));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "tree/etc"), { recursive: true });
  return folder;
}

test("readDefinitionFiles takes files and links of filesFrom, and follows no link", async (t) => {
  const folder = await folderFor(t);
  const at = (path: string) => join(folder, "tree", path);
  await writeFile(at("README.md"), "not this one");
  await writeFile(at("etc/plain"), "text", { mode: 0o600 });
  await writeFile(at("etc/program"), "", { mode: 0o700 });
  await symlink("/dev/null", at("etc/masked"));
  await symlink("etc", at("folder"));
  const files = await readDefinitionFiles(definition, join(folder, "box.ts"));
  assert.deepEqual(Object.fromEntries(files), {
    "etc/masked": { content: { symlink: "/dev/null" } },
    "etc/plain": { content: Buffer.from("text"), mode: 0o644 },
    "etc/program": { content: Buffer.from(""), mode: 0o755 },
    folder: { content: { symlink: "etc" } },
  });
});

test("readDefinitionFiles names what cannot lie in an image", async (t) => {
  if (process.platform === "win32") return t.skip("there are no named pipes among files");
  const folder = await folderFor(t);
  execFileSync("mkfifo", [join(folder, "tree/etc/pipe")]);
  await assert.rejects(readDefinitionFiles(definition, join(folder, "box.ts")), {
    code: "definition",
    message: /etc\/pipe into the image: it is neither/,
  });
});
