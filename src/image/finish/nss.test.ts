import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListedNode } from "./input.ts";
import { nssFiles } from "./nss.ts";

const template = `# a comment: files
passwd:         files
shadow:         files

hosts:          files dns
protocols:      db files
`;

const node: ListedNode = { type: "file", mode: 0o644, uid: 0, gid: 0 };

function run(...modules: string[]): string[] {
  const listing = new Map(
    modules.map((name) => [`usr/lib/x86_64-linux-gnu/libnss_${name}.so.2`, node]),
  );
  const [piece] = nssFiles(listing, new Map([["usr/share/libc-bin/nsswitch.conf", template]]));
  assert(piece?.type === "file" && piece.path === "etc/nsswitch.conf");
  return piece.text.split("\n");
}

/** Compared with what the packages' postinst scripts left on a trixie system. */
const cases: { modules: string[]; passwd: string; hosts: string }[] = [
  { modules: [], passwd: "files", hosts: "files dns" },
  { modules: ["systemd"], passwd: "files systemd", hosts: "files dns" },
  { modules: ["myhostname"], passwd: "files", hosts: "files myhostname dns" },
  { modules: ["resolve"], passwd: "files", hosts: "files resolve [!UNAVAIL=return] dns" },
  {
    modules: ["resolve", "myhostname", "systemd"],
    passwd: "files systemd",
    hosts: "files myhostname resolve [!UNAVAIL=return] dns",
  },
];

for (const { modules, passwd, hosts } of cases) {
  test(`nssFiles edits for ${modules.join(", ") || "no module"} as the scripts do`, () => {
    assert.deepEqual(run(...modules), [
      "# a comment: files",
      `passwd:         ${passwd}`,
      `shadow:         ${passwd}`,
      "",
      `hosts:          ${hosts}`,
      "protocols:      db files",
      "",
    ]);
  });
}

test("nssFiles writes nothing without libc-bin's template", () => {
  assert.deepEqual(nssFiles(new Map(), new Map()), []);
});
