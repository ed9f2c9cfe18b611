/**
 * The EFI file out of Debian's own stub and kernel, judged by other programs.
 *
 * Needs objdump (package binutils), sbsign and sbverify (sbsigntool), openssl, python3, and apt
 * with a Debian mirror: stub, kernel and ukify are unpacked from trixie's packages (about 35 MB,
 * once), not installed. What is missing fails under CI and skips its tests elsewhere.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { authenticodeHash, buildUki, inspectPe } from "../src/image/uki/index.ts";
import { type DebianFiles, unpackDebian } from "./driver-debian.ts";

const run = promisify(execFile);
const folder = await mkdtemp(join(tmpdir(), "diskomator-uki-"));
after(() => rm(folder, { recursive: true }));

const packages = {
  "linux-image-cloud-amd64": "./boot/vmlinuz-*",
  "python3-pefile": "./usr/lib/*",
  "systemd-boot-efi": "*.efi.stub",
  "systemd-ukify": "./usr/bin/ukify",
};
const found = await unpackDebian("trixie", packages).catch((error: unknown) => `${error}`);

/** The files, unless something is missing: then the test is skipped, or fails under CI. */
async function inputs(t: TestContext, ...tools: string[]) {
  const missing = typeof found === "string" ? [found] : [];
  for (const tool of tools) {
    await run("sh", ["-c", `command -v ${tool}`]).catch(() => missing.push(`${tool} is missing`));
  }
  if (missing.length > 0) {
    if (process.env.CI) assert.fail(missing.join("; "));
    t.skip(missing.join("; "));
    return undefined;
  }
  const { root, versions } = found as DebianFiles;
  t.diagnostic(JSON.stringify(versions));
  const stubPath = join(root, "usr/lib/systemd/boot/efi/linuxx64.efi.stub");
  const names = await readdir(join(root, "boot"));
  const linuxPath = join(root, "boot", names.find((name) => name.startsWith("vmlinuz-"))!);
  const [stub, linux] = await Promise.all([readFile(stubPath), readFile(linuxPath)]);
  return { root, stubPath, linuxPath, stub, linux };
}

/** A signature in DER has the digest as it is, among the algorithm's name and the certificates. */
function signatureHas(file: Uint8Array, digest: Uint8Array): boolean {
  const { offset, size } = inspectPe("a signed file", [file]).certificates;
  assert.ok(size > 0, "the file is signed");
  return Buffer.from(file.subarray(offset, offset + size)).includes(Buffer.from(digest));
}

const texts = { osrel: 'ID=diskomator\nNAME="Diskomator"\n', cmdline: "console=ttyS0 quiet" };
const initrd = [Buffer.alloc(1_000_004, "first"), Buffer.alloc(70_001, "second")];

function ukify(root: string, ...args: string[]): Promise<{ stdout: string }> {
  const env = {
    ...process.env,
    PYTHONPATH: join(root, "usr/lib/python3/dist-packages"),
    PYTHONDONTWRITEBYTECODE: "1",
  };
  return run("python3", [join(root, "usr/bin/ukify"), ...args], { env });
}

test("buildUki writes what ukify writes, byte for byte, with the same release", async (t) => {
  const given = await inputs(t, "python3");
  if (!given) return;
  const path = (name: string) => join(folder, name);
  await writeFile(path("osrel"), texts.osrel);
  await writeFile(path("initrd"), Buffer.concat(initrd));
  await writeFile(path("splash"), Buffer.alloc(900, "BM"));
  await ukify(
    given.root,
    "build",
    ...["--stub", given.stubPath, "--linux", given.linuxPath, "--initrd", path("initrd")],
    ...["--os-release", `@${path("osrel")}`, "--cmdline", texts.cmdline],
    ...["--splash", path("splash"), "--output", path("ukify.efi")],
  );
  const splash = await readFile(path("splash"));
  const { stub, linux } = given;
  const { chunks, layout } = buildUki({ stub, sections: { ...texts, splash, linux, initrd } });
  const ours = Buffer.concat(chunks);
  assert.ok((await readFile(path("ukify.efi"))).equals(ours));
  await writeFile(path("ours.efi"), ours);
  const inspected = await ukify(given.root, "inspect", path("ours.efi"), "--json=short");
  const report: Record<string, { size: number }> = JSON.parse(inspected.stdout);
  for (const { name, virtualSize } of layout.sections) {
    if (report[name]) assert.equal(report[name].size, virtualSize, name);
  }
  assert.ok(report[".linux"] && report[".initrd"] && report[".sbat"]);
});

test("buildUki and objdump see the same sections, microcode included", async (t) => {
  const given = await inputs(t, "objdump");
  if (!given) return;
  const path = join(folder, "sections.efi");
  const { stub, linux } = given;
  const ucode = Buffer.alloc(5000, "070701");
  const uki = buildUki({ stub, sections: { ...texts, ucode, linux, initrd } });
  await writeFile(path, Buffer.concat(uki.chunks));
  const { stdout } = await run("objdump", ["-h", path], { env: { ...process.env, LC_ALL: "C" } });
  const { imageBase } = inspectPe("ours", uki.chunks).optional;
  const seen = [...stdout.matchAll(/^ +\d+ (\S+) +([0-9a-f]+) +([0-9a-f]+) +\S+ +([0-9a-f]+)/gm)];
  assert.deepEqual(
    seen.map(([, name, ...numbers]) => [name, ...numbers.map((hex) => Number(`0x${hex}`))]),
    uki.layout.sections.map(({ name, virtualSize, virtualAddress, rawOffset }) => [
      name,
      virtualSize,
      Number(imageBase) + virtualAddress,
      rawOffset,
    ]),
  );
});

test("authenticodeHash is what sbsign signs, and sbverify takes the signature", async (t) => {
  const given = await inputs(t, "sbsign", "sbverify", "openssl");
  if (!given) return;
  const path = (name: string) => join(folder, name);
  const { stub, linux } = given;
  const { chunks } = buildUki({ stub, sections: { ...texts, linux, initrd } });
  await writeFile(path("unsigned.efi"), Buffer.concat(chunks));
  await run("openssl", [
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2"],
    ...["-keyout", path("key.pem"), "-out", path("certificate.pem")],
  ]);
  const key = ["--key", path("key.pem"), "--cert", path("certificate.pem")];
  await run("sbsign", [...key, "--output", path("signed.efi"), path("unsigned.efi")]);
  const signed = await readFile(path("signed.efi"));
  const digest = authenticodeHash("ours", chunks);
  assert.ok(signatureHas(signed, digest));
  assert.deepEqual(authenticodeHash("signed", [signed]), digest);
  const verified = await run("sbverify", ["--cert", path("certificate.pem"), path("signed.efi")]);
  assert.match(verified.stdout + verified.stderr, /Signature verification OK/);
});

test("authenticodeHash of Debian's kernel is in Debian's signature", async (t) => {
  const given = await inputs(t);
  if (!given) return;
  assert.ok(signatureHas(given.linux, authenticodeHash("the kernel", [given.linux])));
});
