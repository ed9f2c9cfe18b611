import assert from "node:assert/strict";
import { test } from "node:test";
import { diagnose, type MachineFacts } from "./doctor-checks.ts";

const well: MachineFacts = {
  platform: "linux",
  node: "24.21.0",
  manager: "apt",
  programs: new Map(
    ["ssh", "qemu-system-x86_64", "keyctl", "tlshd"].map((name) => [name, `/usr/bin/${name}`]),
  ),
  firmware: true,
  modules: new Map([
    ["nvme-tcp", true],
    ["tls", true],
  ]),
  isTlshdActive: true,
  nvmeCli: "2.16",
  identities: ["/keys/id_ed25519"],
  hasImageKey: true,
  configurationFault: null,
  interfaces: ["eth0"],
  canListen: true,
  firewalls: new Map([["firewalld", true]]),
};

const without = (...names: readonly string[]) => ({
  programs: new Map(
    [...well.programs].map(([name, path]) => [name, names.includes(name) ? null : path]),
  ),
});

test("diagnose finds nothing wrong with a machine that has everything", () => {
  const verdicts = diagnose(well).map(({ verdict }) => verdict);
  assert.deepEqual(new Set(verdicts), new Set(["ok"]));
  assert.equal(diagnose(well).find(({ subject }) => subject === "nvme-cli")?.found, "2.16");
});

const faults: readonly [Partial<MachineFacts>, string, "lacks" | "missing", RegExp][] = [
  [{ node: "20.20.2" }, "Node", "missing", /Use Node 24/],
  [without("ssh"), "SSH client", "missing", /sudo apt-get install openssh-client/],
  [{ ...without("ssh"), manager: "dnf" }, "SSH client", "missing", /dnf install openssh-clients/],
  [without("keyctl"), "keyctl", "lacks", /apt-get install keyutils/],
  [without("tlshd"), "tlshd", "lacks", /apt-get install ktls-utils/],
  [{ isTlshdActive: false }, "tlshd", "lacks", /systemctl enable --now tlshd/],
  [without("qemu-system-x86_64"), "QEMU", "lacks", /qemu-system-x86$/],
  [{ firmware: false }, "OVMF firmware", "lacks", /apt-get install ovmf/],
  [{ modules: new Map([["nvme-tcp", false]]) }, "Kernel modules for connect", "lacks", /kernel/],
  [{ identities: [] }, "SSH key", "lacks", /makes one/],
  [{ hasImageKey: false }, "Host key of your images", "lacks", /makes it/],
  [{ configurationFault: "it is not JSON" }, "Known boxes", "missing", /Correct/],
  [{ interfaces: [] }, "Announcements", "lacks", /Connect this machine/],
  [{ canListen: false }, "Announcements", "lacks", /port of our own/],
  [{ firewalls: new Map([["firewalld", false]]) }, "Firewall", "lacks", /--add-service=mdns/],
  [{ firewalls: new Map([["ufw", null]]) }, "Firewall", "lacks", /ufw allow 5353/],
];
for (const [change, subject, verdict, fix] of faults) {
  test(`diagnose says what to do: ${subject} ${verdict}, ${fix.source}`, () => {
    const findings = diagnose({ ...well, ...change });
    const wrong = findings.filter((finding) => finding.verdict !== "ok");
    assert.deepEqual(
      wrong.map((finding) => [finding.subject, finding.verdict]),
      [[subject, verdict]],
    );
    assert.match(wrong[0]?.fix ?? "", fix);
  });
}

test("diagnose warns of an nvme-cli that derives TLS keys in a way of its own", () => {
  for (const [nvmeCli, pattern] of [
    ["2.13", /^2\.13, which derives TLS keys in a way of its own/],
    ["3.0", /^3\.0$/],
    [null, /not needed/],
  ] as const) {
    const found = diagnose({ ...well, nvmeCli }).find(({ subject }) => subject === "nvme-cli");
    assert.match(found?.found ?? "", pattern);
  }
});

test("diagnose asks of other systems only what they can have", () => {
  const subjects = diagnose({ ...well, platform: "darwin" }).map(({ subject }) => subject);
  for (const subject of ["tlshd", "keyctl", "nvme-cli", "Kernel modules for connect"]) {
    assert(!subjects.includes(subject), subject);
  }
});
