import assert from "node:assert/strict";
import { test } from "node:test";
import { type Answer, decode, encode } from "dns-packet";
import fc from "fast-check";
import { Announcements, boxService, discoveryService, packetBytesMax } from "./announcement.ts";

const eth0 = { interfaceName: "eth0" };
const unknown = { interfaceName: null };

function answer(...answers: Answer[]): Uint8Array {
  return encode({ type: "response", answers });
}

const pointer = (name: string, service = boxService, ttl = 120): Answer => ({
  type: "PTR",
  name: service,
  ttl,
  data: `${name}.${service}`,
});
const place = (name: string, host: string, port = 22): Answer => ({
  type: "SRV",
  name,
  ttl: 120,
  data: { target: host, port },
});
const text = (name: string, ...data: string[]): Answer => ({ type: "TXT", name, ttl: 120, data });
const a = (name: string, data: string): Answer => ({ type: "A", name, ttl: 120, data });
const aaaa = (name: string, data: string): Answer => ({ type: "AAAA", name, ttl: 120, data });

const full = [
  pointer("lunch-feta"),
  place(`lunch-feta.${boxService}`, "lunch-feta.local"),
  text(`lunch-feta.${boxService}`, "version=0.1.0", "Disks=3", "flag", "disks=4"),
  aaaa("lunch-feta.local", "fe80::1"),
  aaaa("lunch-feta.local", "fd00::17"),
  a("lunch-feta.local", "10.0.0.17"),
];

test("Announcements gives a box with its addresses in the order to try, and its text", () => {
  const heard = new Announcements();
  heard.receive(answer(...full), eth0);
  assert.deepEqual(heard.sightings, [
    {
      kind: "box",
      name: "lunch-feta",
      port: 22,
      addresses: ["10.0.0.17", "fd00::17", "fe80::1%eth0"],
      text: new Map([
        ["version", "0.1.0"],
        ["disks", "3"],
        ["flag", ""],
      ]),
    },
  ]);
});

test("Announcements puts together what comes in several packets, in any order of names' case", () => {
  const heard = new Announcements();
  for (const record of full) heard.receive(answer(record), eth0);
  heard.receive(answer(a("LUNCH-FETA.local", "10.0.1.17")), eth0);
  assert.deepEqual(heard.sightings[0]?.addresses, [
    "10.0.0.17",
    "10.0.1.17",
    "fd00::17",
    "fe80::1%eth0",
  ]);
});

test("Announcements leaves out link-local addresses of which the interface is not known", () => {
  const heard = new Announcements();
  heard.receive(answer(...full), unknown);
  assert.deepEqual(heard.sightings[0]?.addresses, ["10.0.0.17", "fd00::17"]);
});

test("Announcements.query asks for what is lacking, and no more", () => {
  const heard = new Announcements();
  const asked = () =>
    decode(Buffer.from(heard.query())).questions?.map((q) => `${q.type} ${q.name}`);
  const always = [`PTR ${boxService}`, `PTR ${discoveryService}`];
  assert.deepEqual(asked(), always);
  heard.receive(answer(pointer("lunch-feta")), eth0);
  const name = `lunch-feta.${boxService}`;
  assert.deepEqual(asked(), [...always, `SRV ${name}`, `TXT ${name}`]);
  heard.receive(answer(full[1]!, full[2]!), eth0);
  assert.deepEqual(asked(), [...always, "A lunch-feta.local", "AAAA lunch-feta.local"]);
  heard.receive(answer(full[5]!), eth0);
  assert.deepEqual(asked(), always);
});

for (const [name, bytes] of [
  ["that is no UTF-8", Buffer.alloc(63, 0xff)],
  ["that grows when it is written small", Buffer.from("İ".repeat(31))],
  ["of several dots", Buffer.from("a..b")],
] as const) {
  test(`Announcements.query can be read by all after a name ${name}`, () => {
    const heard = new Announcements();
    // The name is written in the place of one that is as long.
    const like = "x".repeat(bytes.length);
    const packet = Buffer.from(answer(pointer("lunch-feta"), pointer(like, discoveryService)));
    bytes.copy(packet, packet.indexOf(like));
    heard.receive(packet, unknown);
    const { questions = [] } = decode(Buffer.from(heard.query()));
    assert.deepEqual(
      questions.map((question) => question.name),
      [boxService, discoveryService, ...Array(2).fill(`lunch-feta.${boxService}`)],
    );
  });
}

test("Announcements forgets a box that says goodbye", () => {
  const heard = new Announcements();
  heard.receive(answer(...full), eth0);
  heard.receive(answer(pointer("lunch-feta", boxService, 0)), eth0);
  assert.deepEqual(heard.sightings, []);
});

test("Announcements tells other discovery controllers apart from boxes", () => {
  const heard = new Announcements();
  const name = `My array (1)\u001b[31m.${discoveryService}`;
  heard.receive(
    answer(
      { ...pointer("x", discoveryService), data: name } as Answer,
      place(name, "array.local", 8009),
      a("array.local", "10.0.0.3"),
    ),
    eth0,
  );
  const [found] = heard.sightings;
  assert.deepEqual(
    [found?.kind, found?.name, found?.port],
    ["discovery", "My array (1)?[31m", 8009],
  );
});

test("Announcements takes no box whose name is none", () => {
  for (const name of ["*", "a b", "-a", "a,b", "a_b", "é"]) {
    const heard = new Announcements();
    heard.receive(
      answer(pointer(name), place(`${name}.${boxService}`, "h.local"), a("h.local", "10.0.0.1")),
      eth0,
    );
    assert.deepEqual(heard.sightings, [], name);
  }
});

test("Announcements holds no more than it is bound to", () => {
  const heard = new Announcements();
  for (let n = 0; n < 2000; n++) {
    const name = `box-${n}.${boxService}`;
    heard.receive(answer(pointer(`box-${n}`), place(name, `h${n}.local`)), eth0);
    heard.receive(
      answer(a(`h${n}.local`, "10.0.0.1"), a("h1.local", `10.1.${n >> 8}.${n & 255}`)),
      eth0,
    );
  }
  assert.equal(heard.sightings.length, 256);
  assert.equal(Math.max(...heard.sightings.map(({ addresses }) => addresses.length)), 16);
  assert(heard.query().length < packetBytesMax);
});

test("Announcements finds a box on a network where many others say their addresses", () => {
  const heard = new Announcements();
  const others = (from: number) => {
    const hosts = Array.from({ length: 300 }, (_, n) => a(`printer-${from + n}.local`, "10.0.0.9"));
    heard.receive(answer(...hosts), eth0);
  };
  others(0);
  heard.receive(answer(...full), eth0);
  others(300);
  assert.deepEqual(heard.sightings[0]?.addresses, ["10.0.0.17", "fd00::17", "fe80::1%eth0"]);
});

test("Announcements takes whatever comes without failing", () => {
  const heard = new Announcements();
  const good = answer(...full);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), fc.nat(255), (noise, at, value) => {
      heard.receive(noise, eth0);
      const damaged = Uint8Array.from(good);
      damaged[at % damaged.length] = value;
      heard.receive(damaged, eth0);
      heard.receive(damaged.subarray(0, at % damaged.length), eth0);
      heard.query();
      assert(heard.sightings.length <= 512);
    }),
    { seed: 20261123, numRuns: 500 },
  );
});
