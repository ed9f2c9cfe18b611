/**
 * Files out of Debian packages, as input and as judges of tests.
 *
 * apt fetches them with a state of its own from the mirror that this machine's apt uses, and
 * checks them against Debian's archive keys; dpkg-deb unpacks them. What was unpacked once stays
 * in the user's cache directory.
 */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Where the files are, and which version each package had. */
export interface DebianFiles {
  /** Root of the unpacked tree. */
  readonly root: string;
  readonly versions: Readonly<Record<string, string>>;
}

/**
 * Unpacks packages of a release into one tree, from the cache when they are there: of each the
 * paths that match its pattern (tar's wildcards, `./usr/bin/*`).
 * A package that only depends on others is followed: `linux-image-cloud-amd64`.
 * @throws Error when apt, dpkg-deb or tar are missing or cannot do it.
 */
export async function unpackDebian(
  release: string,
  packages: Readonly<Record<string, string>>,
): Promise<DebianFiles> {
  const cache = join(
    process.env.XDG_CACHE_HOME || join(homedir(), ".cache"),
    "diskomator",
    "test-debian",
  );
  const key = createHash("sha256")
    .update(JSON.stringify([release, packages]))
    .digest("hex");
  const root = join(cache, key.slice(0, 16));
  const versionsPath = join(root, "versions.json");
  if (!(await stat(versionsPath).catch(() => undefined))) {
    await mkdir(cache, { recursive: true });
    const work = await mkdtemp(join(cache, "new-"));
    try {
      await fetchInto(work, release, packages);
      await rm(root, { recursive: true, force: true });
      await rename(join(work, "root"), root);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
  return { root, versions: JSON.parse(await readFile(versionsPath, "utf8")) };
}

async function fetchInto(
  work: string,
  release: string,
  packages: Readonly<Record<string, string>>,
): Promise<void> {
  for (const folder of ["state/lists/partial", "cache/archives/partial", "debs", "root"]) {
    await mkdir(join(work, folder), { recursive: true });
  }
  await writeFile(join(work, "status"), "");
  await writeFile(
    join(work, "sources.list"),
    `deb [signed-by=${keyring}] ${await mirror()} ${release} main\n`,
  );
  const options = Object.entries({
    "Dir::State": join(work, "state"),
    "Dir::State::status": join(work, "status"),
    "Dir::Cache": join(work, "cache"),
    "Dir::Etc::sourcelist": join(work, "sources.list"),
    "Dir::Etc::sourceparts": "-",
    "APT::Architecture": "amd64",
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
  }).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  await run("apt-get", [...options, "update"]);
  const versions: Record<string, string> = {};
  for (const [name, pattern] of Object.entries(packages)) {
    const { stdout } = await run("apt-cache", [...options, "show", "--no-all-versions", name]);
    const followed = /^Depends: (linux-image-[^ ,]+)/m.exec(stdout)?.[1] ?? name;
    await run("apt-get", [...options, "download", followed], { cwd: join(work, "debs") });
    const { stdout: deb } = await run("sh", ["-c", 'echo "$1"_*', "sh", followed], {
      cwd: join(work, "debs"),
    });
    const path = join(work, "debs", deb.trim());
    const unpack = 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --wildcards "$3"';
    await run("sh", ["-c", unpack, "sh", path, join(work, "root"), pattern]);
    versions[followed] = (await run("dpkg-deb", ["-f", path, "Version"])).stdout.trim();
  }
  await writeFile(join(work, "root", "versions.json"), JSON.stringify(versions));
}

/** The address of the Debian archive that this machine's apt uses. */
async function mirror(): Promise<string> {
  const format = "$(SITE) $(RELEASE) $(COMPONENT)";
  const { stdout } = await run("apt-get", [
    "indextargets",
    "--format",
    format,
    "Created-By: Packages",
  ]);
  const lines = stdout.split("\n").map((line) => line.split(" "));
  const [site] =
    lines.find(([, release, part]) => part === "main" && !release?.includes("-")) ?? [];
  if (!site) throw new Error("This machine's apt knows no Debian archive.");
  return site;
}
