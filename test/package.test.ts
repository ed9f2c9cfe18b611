/** The package as others install it: its doors and its command below node_modules. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  access,
  copyFile,
  mkdir,
  readdir,
  readFile,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { transform } from "esbuild";
import { root, userCache } from "./driver-build.ts";
import { Project } from "./driver-package.ts";

const doors = ["block", "image", "initiator", "nvme", "target"];

let project: Project;
before(async () => {
  project = await Project.make();
});
after(() => project?.[Symbol.asyncDispose]());

/** A program that runs in the project until it is disposed of, once it has written its first line. */
async function startHere(...args: readonly string[]): Promise<AsyncDisposable & { line: string }> {
  const child = spawn(process.execPath, args, {
    cwd: project.folder,
    env: project.env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(child, "close");
  const ended = closed.then(([code]) => assert.fail(`${args[0]} ended with ${code}`));
  const lines = createInterface({ input: child.stdout });
  const [line] = await Promise.race([once(lines, "line"), ended]);
  ended.catch(() => {});
  return {
    line,
    async [Symbol.asyncDispose]() {
      child.kill("SIGINT");
      assert.deepEqual(await closed, [0, null]);
    },
  };
}

test("packing leaves the checkout as it was", async () => {
  const manifest = await readFile(join(project.checkout, "package.json"), "utf8");
  assert.equal(manifest, await readFile(join(root, "package.json"), "utf8"));
  await assert.rejects(access(join(project.checkout, "dist")));
});

test("the package holds what it needs, and no tests, logs or tools", (t) => {
  const { files, size } = project.tarball;
  const paths = files.map(({ path }) => path);
  const wanted = ["LICENSE", "README.md", "SECURITY.md", "docs/nvme-tcp.md", "dist/cli.js"];
  for (const path of [...wanted, ...doors.map((part) => `dist/${part}.js`)]) {
    assert.ok(paths.includes(path), path);
  }
  const stray =
    /\.test\.|(^|\/)(testing|test|tools|bench|out)\/|\.(log|tmp|map|tgz)$|tsconfig|biome|knip|^\./;
  assert.deepEqual(
    paths.filter((path) => stray.test(path)),
    [],
  );
  t.diagnostic(`${size} bytes in ${paths.length} files`);
});

test("the threads of each script in dist/ have their script there", async () => {
  const started = new Set<string>();
  for (const name of await readdir(project.inPackage("dist"))) {
    if (!name.endsWith(".js")) continue;
    const text = await readFile(project.inPackage(`dist/${name}`), "utf8");
    const scripts = text.matchAll(/new URL\("(\.[^"]+\.\w+)", import\.meta\.url\)(?!\.href)/g);
    for (const [, path] of scripts) started.add(path!);
  }
  const threads = [...started].filter((path) => path.endsWith("thread.js") || /worker/.test(path));
  assert.equal(threads.length, 5, threads.join());
  for (const path of threads) await access(project.inPackage(join("dist", path)));
});

test("the programs of docs/nvme-tcp.md serve a file, and read it", async () => {
  for (const name of ["target", "read-disk"]) {
    const program = await readFile(project.inPackage(`docs/examples/${name}.ts`), "utf8");
    const { code } = await transform(program, { loader: "ts" });
    await writeFile(project.at(`${name}.js`), code);
  }
  await writeFile(project.at("disk.img"), Buffer.alloc(2 ** 20, "diskomator docs "));
  await using target = await startHere("target.js", "disk.img", "0");
  const [, nqn, port = ""] = /^(\S+) at 127\.0\.0\.1 port (\d+)$/.exec(target.line) ?? [];
  const start = Buffer.from("diskomator docs ").toString("hex");
  assert.equal(
    await project.node("read-disk.js", "127.0.0.1", port),
    `${nqn} 1 1048576 ${start}\n`,
  );
});

test("a class is the same one behind every door", async () => {
  await writeFile(
    project.at("classes.js"),
    `import { BlockError, faultyDisk, MemoryDisk } from "diskomator/block";
import { connectController, InitiatorError } from "diskomator/initiator";
import { createTarget } from "diskomator/target";

const device = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), { kind: "fail", code: "medium" });
const namespaces = [{ device, uuid: crypto.randomUUID() }];
const nqn = "nqn.2026-11.org.example:classes";
const running = createTarget({ subsystems: [{ nqn, serial: "1", hosts: "any", namespaces }] });
const { port } = await running.listen({ port: 0 });
const controller = await connectController({ host: "127.0.0.1", port, subsystemNqn: nqn });
const disk = await controller.openNamespace(1);
const error = await disk.read(0, new Uint8Array(512)).catch((found) => found);
console.log(error instanceof BlockError, error.code, error.cause instanceof InitiatorError);
await controller.close();
await running.close();
`,
  );
  assert.equal(await project.node("classes.js"), "true medium true\n");
});

test("the installed command lists, serves, flashes and verifies", async () => {
  assert.match(await project.command("--help"), /^Usage: diskomator COMMAND/);
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  assert.equal(await project.command("--version"), `diskomator ${version}\n`);
  const listed = JSON.parse((await project.command("ls", "--json")).trim().split("\n").at(-1)!);
  assert.equal(listed.event, "result");
  const content = randomBytes(2 ** 20);
  await writeFile(project.at("os.raw.gz"), gzipSync(content));
  await writeFile(project.at("served.img"), "");
  await truncate(project.at("served.img"), 2 ** 21);
  const words = ["serve", "served.img", "--listen", "127.0.0.1:0", "--json"];
  await using served = await startHere(await project.launcher(), ...words);
  const { nqn, port } = JSON.parse(served.line);
  const disk = `nvme-tcp://127.0.0.1:${port}/${nqn}`;
  assert.match(await project.command("flash", "os.raw.gz", disk), /ok, verified/);
  assert.ok((await readFile(project.at("served.img"))).subarray(0, content.length).equals(content));
  assert.match(await project.command("verify", "os.raw.gz", disk), /holds os\.raw\.gz/);
});

test("a program with the package is checked against its types", async () => {
  const consumer = `import { BlockError, type BlockDevice, MemoryDisk } from "diskomator/block";
import { defineAppliance } from "diskomator/image";
import { connectController, type RemoteDisk } from "diskomator/initiator";
import { command } from "diskomator/nvme";
import { createTarget } from "diskomator/target";

const device: BlockDevice = new MemoryDisk({ sizeBytes: 2 ** 20 });
export const disk = async (port: number): Promise<RemoteDisk> =>
  (await connectController({ host: "::1", port, subsystemNqn: "nqn.x" })).openNamespace(1);
export const known = [createTarget, defineAppliance, command, BlockError, device];
`;
  const compilerOptions = { strict: true, module: "nodenext", lib: ["es2024"], noEmit: true };
  await writeFile(
    project.at("tsconfig.json"),
    JSON.stringify({ compilerOptions, files: ["consumer.ts"] }),
  );
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  await writeFile(project.at("consumer.ts"), consumer);
  assert.equal(await project.node(compiler, "-p", "."), "");
  await writeFile(project.at("consumer.ts"), consumer.replace("port, subs", "subs"));
  await assert.rejects(project.node(compiler, "-p", "."), ({ stdout }) =>
    /^consumer\.ts\(9,\d+\): error TS2345: .*\n.*Property 'port' is missing/.test(stdout),
  );
});

test("the installed command builds the images that a checkout builds", async () => {
  // With the user's downloads, but the segments of the smaller image are made here, in threads.
  const cache = project.at("cache");
  await mkdir(cache);
  for (const folder of ["debs", "npm", "index"]) {
    await mkdir(join(userCache, folder), { recursive: true });
    await symlink(join(userCache, folder), join(cache, folder));
  }
  const main = join(project.checkout, "src/cli/main.ts");
  const [out, outOfCheckout] = [project.at("out"), project.at("out-of-checkout")];
  for (const [name, cacheDirectory] of [
    ["counter", cache],
    ["diskomator", userCache],
  ] as const) {
    const options = ["--no-ssh-keys", "--cache", cacheDirectory];
    await project.command("build", name, ...options, "--update=if-gone", "--out", out);
    const lock = `appliances/${name}.lock.json`;
    await copyFile(project.inPackage(lock), join(project.checkout, lock));
    await project.node(main, "build", name, ...options, "--out", outOfCheckout);
    for (const file of [`${name}.efi`, `${name}.raw`, `${name}.spdx.json`]) {
      const [made, wanted] = await Promise.all(
        [out, outOfCheckout].map((folder) => readFile(join(folder, file))),
      );
      assert.ok(made!.equals(wanted!), `${file} differs`);
    }
  }
});
