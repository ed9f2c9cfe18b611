/** Reading and changing a tree of files that is laid out like nvmet's configfs. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { configfsCalls, readFound, refreshFound } from "./driver-configfs.ts";

const nqn = "nqn.2026-11.org.example:a";

async function withTree(scenario: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "diskomator-nvmet-"));
  const files: Record<string, string> = {
    [`subsystems/${nqn}/attr_allow_any_host`]: "1\n",
    [`subsystems/${nqn}/attr_serial`]: "S1                  \n",
    [`subsystems/${nqn}/attr_model`]: "Linux\n",
    [`subsystems/${nqn}/attr_firmware`]: "6.12\n",
    [`subsystems/${nqn}/allowed_hosts/h`]: "",
    [`subsystems/${nqn}/namespaces/1/device_path`]: "(null)\n",
    [`subsystems/${nqn}/namespaces/1/device_uuid`]: "u\n",
    [`subsystems/${nqn}/namespaces/1/device_nguid`]: "g\n",
    [`subsystems/${nqn}/namespaces/1/enable`]: "0\n",
    "ports/1/addr_trtype": "tcp\n",
    "ports/1/addr_adrfam": "ipv4\n",
    "ports/1/addr_traddr": "0.0.0.0\n",
    "ports/1/addr_trsvcid": "4420\n",
    "ports/1/addr_tsas": "tls1.3\n",
    "ports/1/addr_treq": "not required\n",
    "hosts/nqn.2026-11.org.example:host/dhchap_key": "DHHC-1:01:x:\n",
    "hosts/nqn.2026-11.org.example:host/dhchap_ctrl_key": "(null)\n",
    "hosts/nqn.2026-11.org.example:host/dhchap_hash": "hmac(sha256)\n",
    "hosts/nqn.2026-11.org.example:host/dhchap_dhgroup": "ffdhe2048\n",
  };
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), text);
    }
    await mkdir(join(directory, "ports/1/subsystems"));
    await scenario(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("readFound gives what is there, without the kernel's padding", () =>
  withTree(async (directory) => {
    assert.deepEqual(readFound(directory), {
      ports: [
        {
          id: 1,
          attributes: {
            addr_trtype: "tcp",
            addr_adrfam: "ipv4",
            addr_traddr: "0.0.0.0",
            addr_trsvcid: "4420",
            addr_tsas: "tls1.3",
            addr_treq: "not required",
          },
          links: [],
        },
      ],
      hosts: [
        {
          nqn: "nqn.2026-11.org.example:host",
          attributes: {
            dhchap_key: "DHHC-1:01:x:",
            dhchap_ctrl_key: "(null)",
            dhchap_hash: "hmac(sha256)",
            dhchap_dhgroup: "ffdhe2048",
          },
        },
      ],
      subsystems: [
        {
          nqn,
          allowAnyHost: true,
          allowedHosts: ["h"],
          strings: { attr_serial: "S1", attr_model: "Linux", attr_firmware: "6.12" },
          namespaces: [
            {
              nsid: 1,
              attributes: { device_path: "(null)", device_uuid: "u", device_nguid: "g" },
              enabled: false,
            },
          ],
        },
      ],
    });
  }));

test("readFound gives nothing where there is no target", () => {
  assert.deepEqual(readFound("/nonexistent"), { ports: [], hosts: [], subsystems: [] });
});

test("configfsCalls link by an absolute path, and refreshFound sees it", () =>
  withTree(async (directory) => {
    const calls = configfsCalls(directory);
    const before = readFound(directory);
    await calls.link(`ports/1/subsystems/${nqn}`, `subsystems/${nqn}`);
    await calls.write(`subsystems/${nqn}/namespaces/1/enable`, "1");
    const unread = refreshFound(directory, before, new Set());
    assert.deepEqual(unread.ports[0]?.links, [nqn]);
    assert.equal(unread.subsystems[0]?.namespaces[0]?.enabled, false);
    const read = refreshFound(directory, before, new Set([nqn]));
    assert.equal(read.subsystems[0]?.namespaces[0]?.enabled, true);
    const linked = join(directory, `ports/1/subsystems/${nqn}/attr_model`);
    assert.equal(await readFile(linked, "utf8"), "Linux\n");
    await calls.unlink(`ports/1/subsystems/${nqn}`);
    assert.deepEqual(await readdir(join(directory, "ports/1/subsystems")), []);
  }));

test("configfsCalls make and remove directories, and never make a file", () =>
  withTree(async (directory) => {
    const calls = configfsCalls(directory);
    await calls.mkdir("ports/2");
    await assert.rejects(calls.mkdir("ports/2"), { code: "EEXIST" });
    await assert.rejects(calls.write("ports/2/addr_trtype", "tcp"), { code: "ENOENT" });
    await calls.rmdir("ports/2");
    assert.deepEqual(await readdir(join(directory, "ports")), ["1"]);
  }));
