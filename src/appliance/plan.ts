/**
 * From what is in configfs to what should be there. Pure: the same two values give the same steps,
 * and once the steps are done the plan is empty. Disks that need nothing are not touched, so a
 * daemon that comes back after a crash adopts them under running hosts.
 */
import type {
  Found,
  FoundPort,
  FoundSubsystem,
  Plan,
  Step,
  StepGroup,
  Wanted,
  WantedExport,
  WantedPort,
} from "./nvmet.ts";

/** Steps from `found` to `wanted`: first what goes, then ports, then what comes. */
export function planExports(wanted: Wanted, found: Found): Plan {
  const remarks: string[] = [];
  const wantedNqns = new Set(wanted.exports.map(({ nqn }) => nqn));
  const removals: StepGroup[] = [];
  for (const subsystem of found.subsystems) {
    if (!isOurs(subsystem.nqn, wanted)) {
      remarks.push(`Subsystem ${subsystem.nqn} is not ours and was left alone.`);
    } else if (!wantedNqns.has(subsystem.nqn)) {
      removals.push(removal(subsystem, linksOf(found.ports)));
    }
  }
  const ports: StepGroup[] = [];
  const later = new Map(found.ports.map((port) => [port.id, port.links]));
  const usable: number[] = [];
  for (const port of wanted.ports) {
    const planned = planPort(port, wanted, found);
    if (typeof planned === "string") {
      remarks.push(planned);
    } else {
      later.set(port.id, planned.links);
      usable.push(port.id);
      ports.push({ subject: `port ${port.id}`, intent: "port", steps: planned.steps });
    }
  }
  const { coming, leaving } = planHosts(wanted, found);
  const exports = wanted.exports.flatMap((one) => {
    const subsystem = found.subsystems.find(({ nqn }) => nqn === one.nqn);
    const remade = needsRemake(one, subsystem);
    const steps = planSubsystem(one, subsystem, later);
    const missing = usable.filter((id) => remade || !later.get(id)?.includes(one.nqn));
    const links = missing.map((id): StepGroup => linking(id, one.nqn));
    return [{ subject: one.nqn, intent: "export", steps } satisfies StepGroup, ...links];
  });
  const all = [...removals, ...ports, ...coming, ...exports, ...leaving];
  const groups = all.filter(({ steps }) => steps.length > 0);
  return { groups, remarks };
}

/** Steps that take down everything that is ours, ports included. */
export function planTeardown(found: Found, wanted: Pick<Wanted, "nqnPrefix" | "ports">): Plan {
  const plan = planExports({ ...wanted, ports: [], exports: [], hosts: [] }, found);
  const ids = new Set(wanted.ports.map(({ id }) => id));
  const ports = found.ports
    .filter(({ id, links }) => ids.has(id) && links.every((nqn) => isOurs(nqn, wanted)))
    .map(({ id }): StepGroup => {
      const steps: Step[] = [{ do: "rmdir", path: `ports/${id}` }];
      return { subject: `port ${id}`, intent: "remove", steps };
    });
  return { groups: [...plan.groups, ...ports], remarks: plan.remarks };
}

/** Hosts that come before what they may connect to, and those that go after it. */
function planHosts(
  wanted: Wanted,
  found: Found,
): { readonly coming: readonly StepGroup[]; readonly leaving: readonly StepGroup[] } {
  const coming = wanted.hosts.map(({ nqn, attributes }): StepGroup => {
    const path = `hosts/${nqn}`;
    const there = found.hosts.find((host) => host.nqn === nqn);
    const before = new Map(Object.entries(there?.attributes ?? {}));
    const wrong = Object.entries(attributes).filter(([name, value]) => before.get(name) !== value);
    const writes = wrong.map(([name, value]) => write(`${path}/${name}`, value, null));
    const steps: Step[] = there === undefined ? [{ do: "mkdir", path }, ...writes] : writes;
    return { subject: nqn, intent: "host", steps };
  });
  const foreign = found.subsystems.filter(({ nqn }) => !isOurs(nqn, wanted));
  const kept = new Set([
    ...wanted.hosts.map(({ nqn }) => nqn),
    ...foreign.flatMap(({ allowedHosts }) => allowedHosts),
  ]);
  const leaving = found.hosts
    .filter(({ nqn }) => !kept.has(nqn))
    .map(({ nqn }): StepGroup => {
      return { subject: nqn, intent: "remove", steps: [{ do: "rmdir", path: `hosts/${nqn}` }] };
    });
  return { coming, leaving };
}

/** Port id → NQNs that it serves. */
type LinksByPort = ReadonlyMap<number, readonly string[]>;

function linksOf(ports: readonly FoundPort[]): LinksByPort {
  return new Map(ports.map(({ id, links }) => [id, links]));
}

function isOurs(nqn: string, wanted: Pick<Wanted, "nqnPrefix">): boolean {
  return nqn.startsWith(wanted.nqnPrefix);
}

/** The links that remain on the port and the steps to get there, or why it cannot be used. */
function planPort(
  port: WantedPort,
  wanted: Wanted,
  found: Found,
): { readonly steps: Step[]; readonly links: readonly string[] } | string {
  const path = `ports/${port.id}`;
  const there = found.ports.find(({ id }) => id === port.id);
  const attributes = Object.entries(port.attributes);
  if (there === undefined) {
    const writes = attributes.map(([name, value]) => write(`${path}/${name}`, value, null));
    return { steps: [{ do: "mkdir", path }, ...writes], links: [] };
  }
  const before = new Map(Object.entries(there.attributes));
  const wrong = attributes.filter(([name, value]) => before.get(name) !== value);
  if (wrong.length === 0) {
    return { steps: [], links: there.links };
  }
  const foreign = there.links.find((nqn) => !isOurs(nqn, wanted));
  if (foreign !== undefined) {
    return `Port ${port.id} has other settings and serves ${foreign}: it was left alone.`;
  }
  // The kernel takes a port's attributes only while nothing is linked to it. Removals go first
  // and have unlinked their subsystems by then.
  const kept = there.links.filter((nqn) => wanted.exports.some((one) => one.nqn === nqn));
  const steps = [
    ...kept.map((nqn) => unlink(port.id, nqn)),
    ...wrong.map(([name, value]) => write(`${path}/${name}`, value, null)),
  ];
  return { steps, links: [] };
}

/**
 * Strings cannot be changed under a host that knows them, and a host that may not be here any more
 * keeps its controllers until the subsystem goes: such a subsystem is made anew.
 */
function needsRemake(one: WantedExport, found: FoundSubsystem | undefined): boolean {
  return (
    found !== undefined &&
    (hasHostTooMany(one, found) ||
      found.strings.attr_serial !== one.strings.attr_serial ||
      found.strings.attr_model !== one.strings.attr_model ||
      found.strings.attr_firmware !== one.strings.attr_firmware)
  );
}

function hasHostTooMany({ hosts }: WantedExport, found: FoundSubsystem): boolean {
  if (hosts === "any") return false;
  return found.allowAnyHost || found.allowedHosts.some((host) => !hosts.includes(host));
}

function planSubsystem(
  one: WantedExport,
  found: FoundSubsystem | undefined,
  links: LinksByPort,
): Step[] {
  if (found === undefined || needsRemake(one, found)) {
    const first = found === undefined ? [] : removal(found, links).steps;
    return [...first, ...creation(one)];
  }
  const path = `subsystems/${one.nqn}`;
  const steps: Step[] = [];
  if (one.hosts !== "any") {
    const missing = one.hosts.filter((host) => !found.allowedHosts.includes(host));
    steps.push(...missing.map((host) => allowHost(one.nqn, host)));
  } else if (!found.allowAnyHost) {
    steps.push(...found.allowedHosts.map((host) => dropHost(one.nqn, host)));
    steps.push(write(`${path}/attr_allow_any_host`, "1", "0"));
  }
  for (const { nsid, enabled } of found.namespaces.filter((other) => other.nsid !== 1)) {
    steps.push(...namespaceRemoval(one.nqn, nsid, enabled));
  }
  return [...steps, ...planNamespace(one, found)];
}

function creation(one: WantedExport): Step[] {
  const path = `subsystems/${one.nqn}`;
  const access =
    one.hosts === "any"
      ? [write(`${path}/attr_allow_any_host`, "1", null)]
      : [
          write(`${path}/attr_allow_any_host`, "0", null),
          ...one.hosts.map((host) => allowHost(one.nqn, host)),
        ];
  return [
    { do: "mkdir", path },
    ...access,
    ...Object.entries(one.strings).map(([name, value]) => write(`${path}/${name}`, value, null)),
    ...namespaceCreation(one),
  ];
}

function planNamespace(one: WantedExport, found: FoundSubsystem): Step[] {
  const path = `subsystems/${one.nqn}/namespaces/1`;
  const there = found.namespaces.find(({ nsid }) => nsid === 1);
  if (there === undefined) {
    return namespaceCreation(one);
  }
  const before = new Map(Object.entries(there.attributes));
  const wrong = Object.entries(one.namespace).filter(([name, value]) => before.get(name) !== value);
  if (there.enabled && wrong.length === 0 && !one.reopen) {
    return one.resize ? [write(`${path}/revalidate_size`, "1", null)] : [];
  }
  return [
    ...(there.enabled ? [write(`${path}/enable`, "0", null)] : []),
    ...wrong.map(([name, value]) => write(`${path}/${name}`, value, null)),
    write(`${path}/enable`, "1", "0"),
  ];
}

function namespaceCreation(one: WantedExport): Step[] {
  const path = `subsystems/${one.nqn}/namespaces/1`;
  return [
    { do: "mkdir", path },
    ...Object.entries(one.namespace).map(([name, value]) => write(`${path}/${name}`, value, null)),
    write(`${path}/enable`, "1", "0"),
  ];
}

/** Namespaces go first, so that a host sees its disk leave before its controller does. */
function removal(subsystem: FoundSubsystem, links: LinksByPort): StepGroup {
  const { nqn, namespaces, allowedHosts } = subsystem;
  const steps = [
    ...namespaces.flatMap(({ nsid, enabled }) => namespaceRemoval(nqn, nsid, enabled)),
    ...[...links].filter(([, nqns]) => nqns.includes(nqn)).map(([id]) => unlink(id, nqn)),
    ...allowedHosts.map((host) => dropHost(nqn, host)),
    { do: "rmdir", path: `subsystems/${nqn}` } satisfies Step,
  ];
  return { subject: nqn, intent: "remove", steps };
}

function namespaceRemoval(nqn: string, nsid: number, enabled: boolean): Step[] {
  const path = `subsystems/${nqn}/namespaces/${nsid}`;
  const disable = enabled ? [write(`${path}/enable`, "0", null)] : [];
  return [...disable, { do: "rmdir", path }];
}

function write(path: string, value: string, before: string | null): Step {
  return { do: "write", path, value, before };
}

/** A link stands alone: a port that cannot listen must not keep a disk from the other port. */
function linking(port: number, nqn: string): StepGroup {
  const path = `ports/${port}/subsystems/${nqn}`;
  return {
    subject: nqn,
    intent: "link",
    steps: [{ do: "link", path, target: `subsystems/${nqn}` }],
  };
}

function unlink(port: number, nqn: string): Step {
  return { do: "unlink", path: `ports/${port}/subsystems/${nqn}` };
}

function allowHost(nqn: string, host: string): Step {
  const path = `subsystems/${nqn}/allowed_hosts/${host}`;
  return { do: "link", path, target: `hosts/${host}` };
}

function dropHost(nqn: string, host: string): Step {
  return { do: "unlink", path: `subsystems/${nqn}/allowed_hosts/${host}` };
}
