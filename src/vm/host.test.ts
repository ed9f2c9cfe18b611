import assert from "node:assert/strict";
import test from "node:test";
import { mayOfferKvm, tcgArgument } from "./accelerator.ts";
import { findForward, forwardCommand } from "./forwards.ts";

const flags = (text: string) => `processor\t: 0\nflags\t\t: fpu ${text} sse2\nbugs\t\t: x\n`;

const hosts = [
  { name: "Intel", cpuInfo: flags("vmx"), kvmWritable: true, architecture: "x64", kvm: true },
  { name: "AMD", cpuInfo: flags("svm"), kvmWritable: true, architecture: "x64", kvm: true },
  {
    name: "a virtual machine whose /dev/kvm does not work",
    cpuInfo: flags("hypervisor"),
    kvmWritable: true,
    architecture: "x64",
    kvm: false,
  },
  {
    name: "a flag that only contains the word",
    cpuInfo: flags("vmx_ept_only"),
    kvmWritable: true,
    architecture: "x64",
    kvm: false,
  },
  {
    name: "no permission",
    cpuInfo: flags("vmx"),
    kvmWritable: false,
    architecture: "x64",
    kvm: false,
  },
  {
    name: "another CPU",
    cpuInfo: flags("vmx"),
    kvmWritable: true,
    architecture: "arm64",
    kvm: false,
  },
  { name: "no Linux", cpuInfo: "", kvmWritable: false, architecture: "x64", kvm: false },
];

for (const { name, kvm, ...facts } of hosts) {
  test(`mayOfferKvm: ${name}: ${kvm}`, () => assert.equal(mayOfferKvm(facts), kvm));
}

test("tcgArgument: threads, and as much memory as is wanted", () => {
  assert.equal(tcgArgument("single"), "tcg,thread=single,tb-size=128");
  assert.equal(tcgArgument("multi", 64), "tcg,thread=multi,tb-size=64");
});

/** As QEMU 7.2 answers. */
const userNet = `Hub -1 (net0):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
  TCP[HOST_FORWARD]  21       127.0.0.1 45547       10.0.2.15    22     0     0\r
  UDP[HOST_FORWARD]  23       127.0.0.1 43862       10.0.2.15    53     0     0\r
  TCP[ESTABLISHED]   30       10.0.2.15   443     192.0.2.99  4420     0     0\r
Hub -1 (net1):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
  TCP[HOST_FORWARD]  22       127.0.0.1 45375       10.0.3.15  4420     0     0\r
`;

const forwards = [
  { network: "net0", protocol: "tcp", guestPort: 22, hostPort: 45547 },
  { network: "net0", protocol: "udp", guestPort: 53, hostPort: 43862 },
  { network: "net1", protocol: "tcp", guestPort: 4420, hostPort: 45375 },
  { network: "net0", protocol: "tcp", guestPort: 4420, hostPort: undefined },
  { network: "net0", protocol: "tcp", guestPort: 53, hostPort: undefined },
  { network: "net2", protocol: "tcp", guestPort: 22, hostPort: undefined },
] as const;

for (const { hostPort, ...forward } of forwards) {
  const { network, protocol, guestPort } = forward;
  test(`findForward: ${network} ${protocol} ${guestPort} is ${hostPort}`, () => {
    assert.equal(findForward(userNet, forward), hostPort);
  });
}

test("forwardCommand lets the host choose the port, on the loopback only", () => {
  assert.equal(
    forwardCommand({ network: "net1", protocol: "udp", guestPort: 5353 }),
    "hostfwd_add net1 udp:127.0.0.1:0-:5353",
  );
  const elsewhere = { network: "net0", protocol: "tcp", guestPort: 22 } as const;
  assert.equal(
    forwardCommand({ ...elsewhere, guestAddress: "10.0.2.77" }),
    "hostfwd_add net0 tcp:127.0.0.1:0-10.0.2.77:22",
  );
  assert.equal(findForward(userNet, { ...elsewhere, guestAddress: "10.0.2.77" }), undefined);
});
