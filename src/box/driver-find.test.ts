import assert from "node:assert/strict";
import { test } from "node:test";
import type { Sighting } from "./announcement.ts";
import { type FindOptions, findAll, findBox } from "./driver-find.ts";
import { BoxError } from "./error.ts";
import type { KnownBox } from "./known.ts";
import type { Place } from "./place.ts";

function sighting(name: string, address: string, changes: Partial<Sighting> = {}): Sighting {
  const short = name.split("-").slice(0, 2).join("-");
  const text = new Map([["name", short]]);
  return { kind: "box", name, port: 22, addresses: [address], text, ...changes };
}

const attic: KnownBox = { name: "attic", address: "10.9.9.9", ports: new Map([[22, 2222]]) };
const heard = [
  sighting("lunch-feta-olive", "10.0.0.1"),
  sighting("amber-plum-olive", "10.0.0.2"),
  sighting("amber-plum-thyme", "10.0.0.3"),
  sighting("array", "10.0.0.4", { kind: "discovery", port: 8009 }),
  sighting("lunch-feta-olive", "10.0.0.1", { kind: "discovery", port: 8009 }),
];

/** A network on which these announce themselves, and no browsing that lasts. */
function network(sightings: readonly Sighting[], knownBoxes: readonly KnownBox[] = []) {
  const options: FindOptions = {
    knownBoxes,
    browse: async ({ onHeard }) => {
      onHeard?.(sightings);
      return sightings;
    },
  };
  return options;
}

const summary = ({ name, addresses, sshPort, from }: Place) =>
  `${name} ${addresses[0]}:${sshPort} ${from}`;

for (const [name, wanted] of [
  ["lunch-feta", "lunch-feta 10.0.0.1:22 announced"],
  ["Lunch-Feta-Olive", "lunch-feta 10.0.0.1:22 announced"],
  ["amber-plum-thyme", "amber-plum 10.0.0.3:22 announced"],
  ["attic", "attic 10.9.9.9:2222 known"],
  ["10.0.0.7", "10.0.0.7 10.0.0.7:22 address"],
  ["fe80::1%eth0", "fe80::1%eth0 fe80::1%eth0:22 address"],
  ["box.example", "box.example box.example:22 address"],
  ["localhost", "localhost localhost:22 address"],
] as const) {
  test(`findBox finds ${name}`, async () => {
    assert.equal(summary(await findBox(name, network(heard, [attic]))), wanted);
  });
}

test("findBox says which boxes share a name, and by what to tell them apart", async () => {
  await assert.rejects(findBox("amber-plum", network(heard)), (error) => {
    assert(error instanceof BoxError && error.code === "ambiguous-box");
    assert.match(
      error.message,
      /amber-plum-olive {2}10\.0\.0\.2\n {2}amber-plum-thyme {2}10\.0\.0\.3/,
    );
    return true;
  });
});

test("findBox says what there is when it finds nothing", async () => {
  await assert.rejects(findBox("no-such-box", network(heard, [attic])), (error) => {
    assert(error instanceof BoxError && error.code === "no-such-box");
    assert.match(error.message, /There are: lunch-feta, amber-plum, amber-plum, attic\./);
    return true;
  });
  await assert.rejects(findBox("no-such-box", network([])), /None was found at all/);
});

test("findAll gives each box once, as soon as it is heard, and other targets apart", async () => {
  const twice: KnownBox = { name: "kitchen", address: "10.0.0.1", ports: new Map() };
  const told: string[] = [];
  const { places, foreign } = await findAll({
    ...network(heard, [attic, twice]),
    onPlace: ({ name }) => void told.push(name),
  });
  const names = places.map(summary);
  assert.deepEqual(names, [
    "attic 10.9.9.9:2222 known",
    "kitchen 10.0.0.1:22 known",
    "amber-plum 10.0.0.2:22 announced",
    "amber-plum 10.0.0.3:22 announced",
  ]);
  assert.deepEqual(told, ["attic", "kitchen", "amber-plum", "amber-plum"]);
  assert.deepEqual(
    foreign.map(({ name }) => name),
    ["array"],
  );
});
