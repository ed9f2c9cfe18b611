/** mkosi as the peer of our builder, where it is installed. */

import { execFile } from "node:child_process";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { findMirrors } from "../src/image/apt/index.ts";
import type { ApplianceDefinition } from "../src/image/index.ts";
import { type Run, runProgram } from "./timing.ts";

const run = promisify(execFile);
/** The first version with `Format=uki` as it is used here. */
const leastMajor = 25;

/** mkosi's version, or why it is not run. */
export async function findMkosi(): Promise<{ version: string } | { missing: string }> {
  const advice =
    `The peer was not run: it takes mkosi ${leastMajor} or later (Debian trixie and later: ` +
    "apt-get install mkosi systemd-ukify systemd-boot-efi; elsewhere: from its own repository).";
  const found = await run("mkosi", ["--version"]).catch(() => undefined);
  if (found === undefined) return { missing: `${advice} Found none.` };
  const version = found.stdout.trim();
  const major = Number(/(\d+)/.exec(version)?.[1] ?? 0);
  return major >= leastMajor ? { version } : { missing: `${advice} Found ${version}.` };
}

/** mkosi on the packages of our definition, with folders of its own below `scratch`. */
export class Mkosi {
  readonly #scratch: string;
  readonly #args: readonly string[];

  static async of(definition: ApplianceDefinition, scratch: string): Promise<Mkosi> {
    const { kernel, packages } = definition;
    const firmware = [...(kernel.firmwarePackages ?? []), ...(kernel.microcodePackages ?? [])];
    const all = [...packages, kernel.package, ...firmware, "systemd-boot-efi"];
    const { debian } = await findMirrors({});
    const folders = ["output", "cache", "packages", "workspace"];
    await Promise.all(folders.map((name) => mkdir(join(scratch, name), { recursive: true })));
    return new Mkosi(scratch, [
      ...["--directory", join(import.meta.dirname, "mkosi"), "--mirror", debian],
      ...all.flatMap((name) => ["--package", name]),
      ...["--extra-tree", `${process.execPath}:/usr/bin/node`],
      ...["--output-directory", join(scratch, "output")],
      ...["--cache-directory", join(scratch, "cache")],
      ...["--package-cache-dir", join(scratch, "packages")],
      ...["--workspace-directory", join(scratch, "workspace")],
    ]);
  }

  private constructor(scratch: string, args: readonly string[]) {
    this.#scratch = scratch;
    this.#args = args;
  }

  /** Builds; with nothing but downloads remembered, or with what mkosi remembers of itself. */
  async build(kind: "downloads" | "incremental"): Promise<Run> {
    if (kind === "downloads") await rm(join(this.#scratch, "cache"), { recursive: true });
    await mkdir(join(this.#scratch, "cache"), { recursive: true });
    const incremental = kind === "incremental" ? ["--incremental=yes"] : ["--incremental=no"];
    return await runProgram("mkosi", [...this.#args, ...incremental, "--force", "build"]);
  }

  /** Of the largest output, which is the EFI file. */
  async sizeBytes(): Promise<number> {
    const folder = join(this.#scratch, "output");
    const sizes = (await readdir(folder)).map(
      async (name) => (await stat(join(folder, name))).size,
    );
    return Math.max(...(await Promise.all(sizes)));
  }
}
