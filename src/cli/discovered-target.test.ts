import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type DiscoveryEntry,
  InitiatorError,
  type InitiatorErrorCode,
} from "../initiator/index.ts";
import { discoveryLogEntry } from "../nvme/index.ts";
import { findDisk, type Lookup } from "./discovered-target.ts";
import { NotFoundError, UsageError } from "./exit.ts";

const service = { host: "192.0.2.1", port: 8009 };
const base = "nqn.1992-08.com.example:sn.1:";
const asked = (disk: string | undefined) => ({ kind: "discovered", ...service, disk }) as const;

function portal(name: string, host: string, port = 4420): DiscoveryEntry {
  return {
    subject: "subsystem",
    subsystemNqn: `${base}${name}`,
    transport: "tcp",
    addressFamily: "ipv4",
    secureChannel: "unspecified",
    advertised: { host, port },
    reached: service,
    raw: discoveryLogEntry.decode(new Uint8Array(1024)),
  };
}

/** What each subsystem answers at each address: its serial number, or the code of an error. */
type Answers = Readonly<Record<string, string | InitiatorError>>;

const failed = (code: InitiatorErrorCode, statusName?: string) =>
  new InitiatorError(code, `It says ${statusName ?? code}.`, statusName ? { statusName } : {});

/** A network of `entries`; `name@host:port` answers, and all else refuses to be connected to. */
function network(entries: readonly DiscoveryEntry[], answers: Answers) {
  const tried: string[] = [];
  const lookup: Lookup = {
    list: async () => [...entries],
    async serialAt({ host, port }, nqn) {
      const key = `${nqn.slice(base.length)}@${host}:${port}`;
      tried.push(key);
      const answer = answers[key] ?? failed("connect-refused");
      if (answer instanceof InitiatorError) throw answer;
      return answer;
    },
  };
  return { lookup, tried };
}

test("findDisk takes a subsystem with several portals for one, by name and by serial number", async () => {
  const entries = [portal("lab", "192.0.2.1"), portal("lab", "198.51.100.1"), portal("b", "")];
  const answers = { "lab@192.0.2.1:4420": "42", "b@192.0.2.1:4420": "43" };
  const wanted = { host: "192.0.2.1", port: 4420, nqn: `${base}lab` };
  for (const disk of ["lab", `${base}lab`, "42"]) {
    const { host, port, nqn } = await findDisk(asked(disk), network(entries, answers).lookup);
    assert.deepEqual({ host, port, nqn }, wanted, disk);
  }
});

test("findDisk tries the host that was reached, the port too, and at last what is advertised", async () => {
  const entries = [portal("lab", "198.51.100.1"), portal("lab", "203.0.113.1", 4421)];
  const order = [
    "lab@192.0.2.1:4420",
    "lab@192.0.2.1:4421",
    "lab@192.0.2.1:8009",
    "lab@198.51.100.1:4420",
    "lab@203.0.113.1:4421",
  ];
  for (const [n, place] of order.entries()) {
    // The service itself answers, and has no such subsystem.
    const answers = { [order[2]!]: failed("status", "connectInvalidParameters"), [place]: "42" };
    const { lookup, tried } = network(entries, answers);
    const { host, port } = await findDisk(asked("lab"), lookup);
    assert.equal(`lab@${host}:${port}`, place);
    assert.deepEqual(tried, order.slice(0, n + 1));
  }
});

test("findDisk passes over subsystems that refuse this host, and says so where none is found", async () => {
  const entries = [portal("a", "192.0.2.1"), portal("b", "192.0.2.1"), portal("c", "192.0.2.1")];
  const answers = {
    "a@192.0.2.1:4420": failed("status", "connectInvalidHost"),
    "b@192.0.2.1:4420": failed("unsupported"),
    "c@192.0.2.1:4420": "42",
  };
  const { lookup, tried } = network(entries, answers);
  assert.equal((await findDisk(asked("42"), lookup)).nqn, `${base}c`);
  assert.deepEqual(tried, Object.keys(answers));
  await assert.rejects(findDisk(asked("43"), lookup), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.match(error.message, /No disk of 192.0.2.1:8009 is called 43; there are: /);
    assert.match(error.message, /a \(not looked at: It says connectInvalidHost\.\), b \(not/);
    assert.match(error.message, /c \(42\)/);
    return true;
  });
  await assert.rejects(findDisk(asked("a"), lookup), { message: "It says connectInvalidHost." });
});

test("findDisk names what there is where several are meant, or none is named", async () => {
  const entries = [portal("a", "192.0.2.1"), portal("b", "192.0.2.1"), portal("a", "192.0.2.2")];
  const answers = { "a@192.0.2.1:4420": "1", "b@192.0.2.1:4420": "1" };
  const { lookup } = network(entries, answers);
  await assert.rejects(findDisk(asked("1"), lookup), {
    name: "NotFoundError",
    message: /2 disks of .* are called 1; there are: a \(1\), b \(1\)\. Name one by .* its NQN/,
  });
  await assert.rejects(findDisk(asked(undefined), lookup), (error) => {
    assert.ok(error instanceof UsageError);
    assert.equal(error.message.split("\n").length, 3);
    return true;
  });
  const aborted = { ...lookup, serialAt: () => Promise.reject(new Error("enough")) };
  await assert.rejects(findDisk(asked("1"), aborted), /enough/);
});
