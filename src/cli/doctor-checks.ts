/** What `doctor` makes of what it found: pure, so that every machine can be tested. */

/** What was found on this machine. Null: not there, or not to be found out. */
export interface MachineFacts {
  readonly platform: string;
  /** `24.21.0`. */
  readonly node: string;
  /** Package manager: `apt`, `dnf`, `pacman`, `zypper`, `brew`. */
  readonly manager: string | null;
  /** Program → its path. */
  readonly programs: ReadonlyMap<string, string | null>;
  readonly firmware: boolean;
  /** Kernel module → whether it is loaded, or could be. */
  readonly modules: ReadonlyMap<string, boolean>;
  /** Whether systemd runs it. */
  readonly isTlshdActive: boolean | null;
  /** Of nvme-cli: `2.13`. */
  readonly nvmeCli: string | null;
  /** Private SSH keys. */
  readonly identities: readonly string[];
  readonly hasImageKey: boolean;
  /** Why the file of known boxes cannot be read. */
  readonly configurationFault: string | null;
  /** Interfaces other than the loopback that have an address. */
  readonly interfaces: readonly string[];
  /** Whether port 5353 can be listened on. */
  readonly canListen: boolean;
  /** Firewall → whether it lets multicast DNS in; null where it did not say. */
  readonly firewalls: ReadonlyMap<string, boolean | null>;
}

/** One thing that was looked at. */
export interface Finding {
  readonly subject: string;
  /** `missing` is for what nothing works without; `lacks` for what some commands want. */
  readonly verdict: "ok" | "lacks" | "missing";
  readonly found: string;
  /** What is not possible without it. */
  readonly without?: string;
  /** What to do. */
  readonly fix?: string;
}

const nodeMajorLeast = 24;
/** Before it, libnvme derived TLS keys with lengths left out (libnvme pull request 1040). */
const nvmeCliGood = [2, 16] as const;

type Check = (facts: MachineFacts) => Finding | null;

const checks: readonly Check[] = [
  ({ node }) => {
    const isGood = Number(node.split(".")[0]) >= nodeMajorLeast;
    if (isGood) return { subject: "Node", verdict: "ok", found: node };
    const fix = `Use Node ${nodeMajorLeast} or later; npm install brings one for this project.`;
    return { subject: "Node", verdict: "missing", found: node, fix };
  },
  (facts) =>
    program(facts, "ssh", "SSH client", "missing", "no box can be asked for anything", {
      apt: "openssh-client",
      dnf: "openssh-clients",
      pacman: "openssh",
      zypper: "openssh-clients",
    }),
  ({ identities }) => {
    const subject = "SSH key";
    const [first] = identities;
    if (first !== undefined) {
      const more = identities.length > 1 ? ` and ${identities.length - 1} more` : "";
      return { subject, verdict: "ok", found: `${first}${more}` };
    }
    const fix = 'None is needed before the first image: "diskomator build" makes one.';
    return { subject, verdict: "lacks", found: "none", without: "no box lets you in", fix };
  },
  ({ hasImageKey }) =>
    hasImageKey
      ? { subject: "Host key of your images", verdict: "ok", found: "known" }
      : {
          subject: "Host key of your images",
          verdict: "lacks",
          found: "none yet",
          without: "a box is believed at first sight",
          fix: '"diskomator build" makes it.',
        },
  ({ configurationFault }) =>
    configurationFault === null
      ? null
      : {
          subject: "Known boxes",
          verdict: "missing",
          found: configurationFault,
          fix: "Correct or remove the file.",
        },
  (facts) =>
    program(
      facts,
      "qemu-system-x86_64",
      "QEMU",
      "lacks",
      "diskomator vm, npm start and the tests",
      {
        apt: "qemu-system-x86",
        dnf: "qemu-system-x86",
        pacman: "qemu-system-x86",
        zypper: "qemu-x86",
        brew: "qemu",
      },
    ),
  (facts) => {
    if (facts.firmware) return { subject: "OVMF firmware", verdict: "ok", found: "there" };
    const names = {
      apt: "ovmf",
      dnf: "edk2-ovmf",
      pacman: "edk2-ovmf",
      zypper: "qemu-ovmf-x86_64",
    };
    const without = "diskomator vm, npm start and the tests";
    const fix = install(facts.manager, names);
    return { subject: "OVMF firmware", verdict: "lacks", found: "not there", without, ...fix };
  },
  kernelModules,
  (facts) =>
    onLinux(facts, () =>
      program(facts, "keyctl", "keyctl", "lacks", "diskomator connect, unless with --no-tls", {
        apt: "keyutils",
        dnf: "keyutils",
        pacman: "keyutils",
        zypper: "keyutils",
      }),
    ),
  tlshd,
  nvmeCli,
  network,
  firewall,
];

/** All findings, in the order in which they matter. */
export function diagnose(facts: MachineFacts): readonly Finding[] {
  return checks.flatMap((check) => check(facts) ?? []);
}

function onLinux(facts: MachineFacts, check: () => Finding | null): Finding | null {
  return facts.platform === "linux" ? check() : null;
}

function program(
  { programs, manager }: MachineFacts,
  name: string,
  subject: string,
  verdict: "missing" | "lacks",
  without: string,
  packages: Readonly<Record<string, string>>,
): Finding {
  const path = programs.get(name) ?? null;
  if (path !== null) return { subject, verdict: "ok", found: path };
  return { subject, verdict, found: "not installed", without, ...install(manager, packages) };
}

function install(
  manager: string | null,
  packages: Readonly<Record<string, string>>,
): { readonly fix?: string } {
  const name = manager === null ? undefined : packages[manager];
  if (name === undefined) return {};
  const commands: Readonly<Record<string, string>> = {
    apt: "sudo apt-get install",
    dnf: "sudo dnf install",
    pacman: "sudo pacman -S",
    zypper: "sudo zypper install",
    brew: "brew install",
  };
  return { fix: `${commands[manager ?? ""]} ${name}` };
}

function kernelModules(facts: MachineFacts): Finding | null {
  return onLinux(facts, () => {
    const subject = "Kernel modules for connect";
    const absent = [...facts.modules].filter(([, isThere]) => !isThere).map(([name]) => name);
    if (absent.length === 0) {
      return { subject, verdict: "ok", found: [...facts.modules.keys()].join(", ") };
    }
    const without = "diskomator connect; flash and backup do without";
    const fix = "Use a kernel that has them; those of Debian and Fedora do.";
    return { subject, verdict: "lacks", found: `no ${absent.join(", ")}`, without, fix };
  });
}

function tlshd(facts: MachineFacts): Finding | null {
  return onLinux(facts, () => {
    const without = "diskomator connect, unless with --no-tls";
    const packages = { apt: "ktls-utils", dnf: "ktls-utils", zypper: "ktls-utils" };
    const found = program(facts, "tlshd", "tlshd", "lacks", without, packages);
    if (found.verdict !== "ok" || facts.isTlshdActive !== false) return found;
    const fix = "sudo systemctl enable --now tlshd";
    return { subject: "tlshd", verdict: "lacks", found: "it does not run", without, fix };
  });
}

function nvmeCli(facts: MachineFacts): Finding | null {
  return onLinux(facts, () => {
    const subject = "nvme-cli";
    if (facts.nvmeCli === null) {
      return { subject, verdict: "ok", found: "not installed, and not needed" };
    }
    const [major = 0, minor = 0] = facts.nvmeCli.split(".").map(Number);
    const isGood = major > nvmeCliGood[0] || (major === nvmeCliGood[0] && minor >= nvmeCliGood[1]);
    const note = isGood ? "" : ", which derives TLS keys in a way of its own: use connect for TLS";
    return { subject, verdict: "ok", found: `${facts.nvmeCli}${note}` };
  });
}

function network({ interfaces, canListen }: MachineFacts): Finding {
  const subject = "Announcements";
  const without = "boxes are found by their addresses only";
  if (interfaces.length === 0) {
    const fix = "Connect this machine to the network of the boxes.";
    return { subject, verdict: "lacks", found: "no network", without, fix };
  }
  if (canListen) {
    return { subject, verdict: "ok", found: `listening on ${interfaces.join(", ")}` };
  }
  const found = "another program has UDP port 5353 for itself";
  const fix = "Answers come to a port of our own instead, unless a firewall stops them.";
  return { subject, verdict: "lacks", found, without, fix };
}

function firewall({ firewalls }: MachineFacts): Finding {
  const subject = "Firewall";
  const fixes: Readonly<Record<string, string>> = {
    firewalld:
      "sudo firewall-cmd --add-service=mdns && sudo firewall-cmd --permanent --add-service=mdns",
    ufw: "sudo ufw allow 5353/udp",
  };
  for (const [name, isOpen] of firewalls) {
    if (isOpen === true) continue;
    const found = isOpen === null ? `${name} is active` : `${name} keeps multicast DNS out`;
    const fix = fixes[name];
    const without = "boxes may be found by their addresses only";
    return { subject, verdict: "lacks", found, without, ...(fix ? { fix } : {}) };
  }
  const names = [...firewalls.keys()].join(", ");
  return { subject, verdict: "ok", found: names === "" ? "none is known" : `${names} lets it in` };
}
