/** Secure channel concatenation and TLS policies: our host and our target over loopback. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MemoryDisk } from "../src/block/index.ts";
import {
  type ControllerOptions,
  connectController,
  discover,
  InitiatorError,
} from "../src/initiator/index.ts";
import { ConfiguredPsk, DhchapSecret } from "../src/nvme/index.ts";
import {
  createTarget,
  type HostAccess,
  type ListenOptions,
  type SubsystemOptions,
} from "../src/target/index.ts";
import { makeScratchFolder } from "../src/vm/index.ts";
import { freePort } from "./driver-port.ts";
import { ServeProcess } from "./driver-serve.ts";

const nqn = "nqn.2026-11.org.example:disk";
const hostNqn = "nqn.2026-11.org.example:host";
const uuid = "12345678-1234-4234-8234-123456789abc";
const secret = new DhchapSecret(new Uint8Array(32).fill(1), "sha256").reveal();
const controllerSecret = new DhchapSecret(new Uint8Array(32).fill(2), "none").reveal();
const key = new ConfiguredPsk(new Uint8Array(32).fill(7), "sha256").reveal();
const fromAuthentication = { isFromAuthentication: true } as const;

async function serve(
  subsystem: Partial<SubsystemOptions>,
  listen: ListenOptions,
  device = new MemoryDisk({ sizeBytes: 4 * 2 ** 20 }),
) {
  const events: [string, Readonly<Record<string, unknown>>][] = [];
  const running = createTarget({
    subsystems: [{ nqn, serial: "S1", hosts: "any", namespaces: [{ device, uuid }], ...subsystem }],
    log: (event, fields) => events.push([event, fields]),
  });
  const { port } = await running.listen({ port: 0, ...listen });
  const address = { host: "127.0.0.1", port };
  const connect = (options: Partial<ControllerOptions> = {}) =>
    connectController({ ...address, subsystemNqn: nqn, hostNqn, ...options });
  const security = () =>
    [...running.target.subsystems.get(nqn)!.controllers.values()].map((one) => one.security);
  return {
    running,
    address,
    events,
    connect,
    security,
    [Symbol.asyncDispose]: () => running.close(),
  };
}

const hosts: ReadonlyMap<string, HostAccess> = new Map([[hostNqn, { secret, controllerSecret }]]);
const optional = { tls: { policy: "optional", keys: [] } } as const;

for (const policy of ["optional", "required"] as const) {
  test(`a key for TLS is made by authentication, and all queues go by it: TLS ${policy}`, async () => {
    await using server = await serve({ hosts, tls: policy }, optional);
    for (const keys of [{ secret }, { secret, controllerSecret }]) {
      const wanted = { authentication: keys, tls: fromAuthentication, ioQueues: 3 };
      await using controller = await server.connect(wanted);
      await using disk = await controller.openNamespace(1);
      const data = Buffer.alloc(2 ** 20, "by TLS");
      await disk.write(0, data);
      const found = Buffer.alloc(data.length);
      await disk.read(0, found);
      assert.ok(found.equals(data));
      assert.deepEqual(server.security(), ["generated"]);
      const [, made] = server.events.findLast(([name]) => name === "host-authenticated")!;
      assert.deepEqual([made.madeKey, made.hash], [true, "sha256"]);
    }
    assert.equal(server.running.target.generatedKeys.count, 2, "a new one for each association");
  });
}

test("a host that comes back makes a new key", async () => {
  const device = new MemoryDisk({ sizeBytes: 4 * 2 ** 20 });
  const first = await serve({ hosts, tls: "required" }, optional, device);
  await using controller = await first.connect({
    authentication: { secret },
    tls: fromAuthentication,
    reconnect: { firstDelayMs: 20, delayMsMax: 100 },
  });
  await using disk = await controller.openNamespace(1);
  await disk.write(0, Buffer.alloc(4096, "a"));
  const { port } = first.address;
  const back = new Promise<void>((resolve) => {
    controller.onEvent(({ type }) => type === "reconnected" && resolve());
  });
  await first.running.close();
  await using second = await serve({ hosts, tls: "required" }, { ...optional, port }, device);
  await back;
  await disk.write(4096, Buffer.alloc(4096, "b"));
  assert.deepEqual(second.security(), ["generated"]);
});

test("a subsystem that requires TLS takes no data in the clear", async () => {
  await using server = await serve({ hosts, tls: "required" }, optional);
  const refusals: readonly [string, Partial<ControllerOptions>, InitiatorError["code"], RegExp][] =
    [
      ["without a secret", {}, "unsupported", /authentication/],
      ["without TLS", { authentication: { secret } }, "authentication-failed", /secure channel/],
      [
        "with another secret",
        { authentication: { secret: controllerSecret }, tls: fromAuthentication },
        "authentication-failed",
        /secrets of both ends differ/,
      ],
      [
        "with a hash that gives no key",
        { authentication: { secret, hashes: ["sha512", "sha384"] }, tls: fromAuthentication },
        "unsupported",
        /sha256/,
      ],
    ];
  for (const [name, options, code, message] of refusals) {
    await assert.rejects(server.connect({ ...options, ioQueues: 1 }), (error) => {
      assert.ok(error instanceof InitiatorError, name);
      assert.equal(error.code, code, name);
      assert.match(error.message, message, name);
      return true;
    });
  }
  assert.equal(server.running.target.generatedKeys.count, 0);
  await using open = await serve({ tls: "required" }, optional);
  await assert.rejects(open.connect(), { code: "status", message: /not allowed/ });
});

test("each subsystem of a listener has its policy, and discovery tells it", async () => {
  const listen = { tls: { policy: "optional", keys: [{ key }] } } as const;
  await using server = await serve({ tls: "required" }, listen);
  const plainNqn = `${nqn}:plain`;
  const eitherNqn = `${nqn}:either`;
  const { target } = server.running;
  target.addSubsystem({ nqn: plainNqn, serial: "S2", hosts: "any", tls: "off" });
  target.addSubsystem({ nqn: eitherNqn, serial: "S3", hosts: "any" });
  const entries = await discover({ ...server.address, hostNqn });
  assert.deepEqual(
    entries
      .filter(({ subject }) => subject === "subsystem")
      .map(({ subsystemNqn, secureChannel }) => [subsystemNqn, secureChannel]),
    [
      [nqn, "required"],
      [plainNqn, "unspecified"],
      [eitherNqn, "not-required"],
    ],
  );
  for (const [subsystemNqn, plain, secured] of [
    [nqn, false, true],
    [plainNqn, true, false],
    [eitherNqn, true, true],
  ] as const) {
    for (const [way, allowed] of [
      [{}, plain],
      [{ tls: { key } }, secured],
    ] as const) {
      const connecting = server.connect({ subsystemNqn, ...way });
      if (allowed) await (await connecting).close();
      else await assert.rejects(connecting, { code: "status", message: /not allowed/ });
    }
  }
});

test("diskomator serve --tls-from-secret serves nothing but by TLS, with a key made of the secret", async () => {
  await using folder = await makeScratchFolder();
  const file = join(folder.path, "secret");
  await writeFile(file, `${secret}\n`);
  const port = await freePort();
  const listen = ["--nqn", nqn, "--listen", `127.0.0.1:${port}`];
  await using _ = await ServeProcess.start([
    ...["--memory", "4M", "--secret", file, "--tls-from-secret"],
    ...listen,
  ]);
  const address = { host: "127.0.0.1", port, subsystemNqn: nqn, hostNqn };
  const authentication = { secret };
  await using controller = await connectController({
    ...address,
    authentication,
    tls: fromAuthentication,
  });
  await using disk = await controller.openNamespace(1);
  assert.equal(disk.sizeBytes, 4 * 2 ** 20);
  await assert.rejects(connectController({ ...address, authentication }), {
    code: "authentication-failed",
  });
});
