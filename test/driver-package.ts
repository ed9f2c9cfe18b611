/** The package as others install it: packed by npm, and unpacked below a project's node_modules. */

import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { npmCommand } from "../src/image/fetch/index.ts";
import { root, userCache } from "./driver-build.ts";

const run = promisify(execFile);
const modules = join(root, "node_modules");
const outputBytesMax = 64 * 1024 * 1024;

/** What npm says of a tarball. */
export interface Tarball {
  readonly filename: string;
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}

/** Somebody's project with the package in it. */
export class Project implements AsyncDisposable {
  /** Of the checkout that was packed; a copy, since packing changes package.json for a while. */
  readonly checkout: string;
  readonly folder: string;
  readonly tarball: Tarball;
  readonly #scratch: string;

  /** Packs a copy of this checkout, and installs that. */
  static async make(): Promise<Project> {
    const scratch = await mkdtemp(join(tmpdir(), "diskomator-package-"));
    const checkout = join(scratch, "checkout");
    await copyCheckout(checkout);
    const tarball = await pack(checkout, scratch);
    const project = new Project(scratch, checkout, tarball);
    await install(join(scratch, tarball.filename), project.folder);
    return project;
  }

  private constructor(scratch: string, checkout: string, tarball: Tarball) {
    this.#scratch = scratch;
    this.checkout = checkout;
    this.folder = join(scratch, "project");
    this.tarball = tarball;
  }

  /** A path in the project. */
  at(path: string): string {
    return join(this.folder, path);
  }

  /** A path in the installed package. */
  inPackage(path: string): string {
    return join(this.folder, "node_modules/diskomator", path);
  }

  /** The launcher that npm would link as `diskomator`. */
  async launcher(): Promise<string> {
    const { bin } = JSON.parse(await readFile(this.inPackage("package.json"), "utf8"));
    return this.inPackage(bin.diskomator);
  }

  /** The environment of a user with an empty home; only what was downloaded is shared. */
  get env(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      HOME: this.#scratch,
      XDG_CONFIG_HOME: join(this.#scratch, "config"),
      XDG_STATE_HOME: join(this.#scratch, "state"),
      XDG_CACHE_HOME: dirname(userCache),
    };
  }

  /** What a program writes that this Node runs in the project; rejects when it fails. */
  async node(...args: readonly string[]): Promise<string> {
    const options = { cwd: this.folder, env: this.env, maxBuffer: outputBytesMax };
    return (await run(process.execPath, args, options)).stdout;
  }

  /** What `diskomator ARGUMENTS` writes; rejects when it fails. */
  async command(...args: readonly string[]): Promise<string> {
    return await this.node(await this.launcher(), ...args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#scratch, { recursive: true, force: true });
  }
}

async function copyCheckout(checkout: string): Promise<void> {
  const left = /^\/(\.git|out|dist|node_modules)(\/|$)/;
  await cp(root, checkout, {
    recursive: true,
    filter: (path) => !left.test(path.slice(root.length)),
  });
  await symlink(modules, join(checkout, "node_modules"));
}

async function pack(checkout: string, destination: string): Promise<Tarball> {
  const [npm, ...first] = npmCommand(process.env);
  const options = ["--json", "--foreground-scripts=false", "--pack-destination", destination];
  const { stdout } = await run(npm, [...first, "pack", ...options], {
    cwd: checkout,
    maxBuffer: outputBytesMax,
  });
  const [tarball] = JSON.parse(stdout);
  return tarball;
}

/** What npm does, but that the packages on which ours depends are those that are here already. */
async function install(tarball: string, project: string): Promise<void> {
  const installed = join(project, "node_modules/diskomator");
  await mkdir(installed, { recursive: true });
  await run("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
  for (const name of await readdir(modules)) {
    if (!name.startsWith(".")) await symlink(join(modules, name), join(dirname(installed), name));
  }
  await writeFile(join(project, "package.json"), JSON.stringify({ type: "module" }));
}
