import assert from "node:assert/strict";
import { test } from "node:test";
import { ReceiveMemory } from "./receive-memory.ts";

const long = 256 * 1024;
const short = 8 * 1024;
const place = new Uint8Array(long);

test("ReceiveMemory is short after data that landed and after a receive that filled it", () => {
  const cases: readonly (readonly [string, readonly Receive[], number])[] = [
    ["nothing came yet", [], long],
    ["answers", [["own", 24]], long],
    ["data landed", [["landing", 100]], short],
    ["all that can land did", [["landing", long]], short],
    [
      "a header alone",
      [
        ["landing", 100],
        ["own", 24],
      ],
      short,
    ],
    [
      "short data",
      [
        ["landing", 100],
        ["own", short],
      ],
      long,
    ],
    ["data that was cut", [["own", long]], short],
    [
      "short data that was cut",
      [
        ["own", long],
        ["own", short],
      ],
      long,
    ],
    [
      "long data that was cut",
      [
        ["own", long],
        ["own", short],
        ["landing", 9],
      ],
      short,
    ],
  ];
  for (const [name, receives, wanted] of cases) {
    const memory = new ReceiveMemory();
    for (const [where, lengthBytes] of receives) {
      const buffer = memory.next(where === "landing" ? place : undefined);
      memory.received(lengthBytes, buffer);
    }
    assert.equal(memory.next(undefined).byteLength, wanted, name);
    assert.equal(memory.next(place), place, name);
  }
});

type Receive = readonly ["own" | "landing", number];
