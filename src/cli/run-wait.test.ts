/** The wait of a run, in a world in which time passes only by waiting. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { BootState } from "../rpc/index.ts";
import type { Condition } from "./run-condition.ts";
import { type Acceptance, type Answer, type RunWorld, waitForRun } from "./run-wait.ts";

const run = "6c0f57bd-7e5c";
const silent: Answer = { kind: "silent" };
const other: Answer = { kind: "other" };
const undecided: Answer = { kind: "undecided" };

function box(changes: Partial<BootState>): Answer {
  const comeback = { certain: true, text: "" };
  const rest = { secureBoot: null, firmwareMs: null, loaderMs: null, underTest: null };
  return { kind: "box", state: { comeback, ...rest, lastRun: null, ...changes } };
}

function reportOf(id: string): BootState["lastRun"] {
  return {
    run: id,
    disk: "d",
    startedAt: "",
    returnedAt: "",
    boots: 2,
    orderIgnored: false,
    bootOrder: { outcome: "same", wanted: [], found: [] },
    crashes: [],
    problems: [],
  };
}

const back = box({ lastRun: reportOf(run) });
const earlier = box({ lastRun: reportOf("another-run") });

/** @param answers one for each time that somebody asks; the last one stays */
function world(
  answers: readonly Answer[],
  options: { accepts?: Acceptance; isForwarded?: true; shows?: string; stays?: boolean } = {},
) {
  let nowMs = 0;
  const rest = [...answers];
  const made: RunWorld = {
    left: options.stays ? new Promise<never>(() => {}) : Promise.resolve(),
    ask: async () => (rest.length > 1 ? rest.shift() : rest[0]) ?? silent,
    accepts: async () => options.accepts ?? "no",
    isForwarded: () => options.isForwarded === true,
    shows: async (pattern) => {
      const line = options.shows ?? "";
      return pattern.test(line) ? line : await new Promise<never>(() => {});
    },
    address: "192.0.2.7",
    nowMs: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
    },
  };
  return made;
}

function behind(answers: readonly Answer[], accepts: Acceptance) {
  return world(answers, { accepts, isForwarded: true });
}

const ssh: Condition = { kind: "ssh", port: 22 };
const text: Condition = { kind: "text", pattern: /login:/ };
const port: Condition = { kind: "port", port: 80 };
const untilBack: Condition = { kind: "return" };

const table: readonly [
  name: string,
  condition: Condition,
  made: RunWorld,
  end: "met" | "returned" | "neither",
][] = [
  ["the box is back", untilBack, world([silent, undecided, back]), "returned"],
  ["the image's SSH is not the box", untilBack, world([other, other, back]), "returned"],
  ["the report of another run is not this one", untilBack, world([earlier, back]), "returned"],
  ["SSH of another system", ssh, world([silent, undecided, other]), "met"],
  ["SSH of the box itself", ssh, world([silent, undecided, back]), "returned"],
  ["a box that is itself under test", ssh, world([box({ underTest: run })]), "met"],
  ["a box that is under test is not back", untilBack, world([box({ underTest: run })]), "neither"],
  ["text", text, world([silent], { shows: "x login: " }), "met"],
  ["text of the box that is back", text, world([silent, back]), "returned"],
  ["text that does not match", text, world([other], { shows: "x logout: " }), "neither"],
  ["a port", port, world([silent], { accepts: "accepted" }), "met"],
  ["a port of the box that is back", port, world([back], { accepts: "accepted" }), "returned"],
  ["a port of whom nobody knows yet", port, world([undecided], { accepts: "accepted" }), "neither"],
  ["a port that is closed", port, world([other]), "neither"],
  ["a forwarder that accepts for nobody", port, behind([silent, back], "accepted"), "returned"],
  ["a forwarder behind which something speaks", port, behind([silent], "speaks"), "met"],
  ["a forwarder to a system that SSH proves", port, behind([other], "accepted"), "met"],
  ["a forwarder to a system whose port is closed", port, behind([other], "no"), "neither"],
  ["nothing", untilBack, world([silent]), "neither"],
  ["a box that stays", untilBack, world([silent], { stays: true }), "neither"],
];

for (const [name, condition, made, end] of table) {
  test(`waitForRun: ${name}`, async () => {
    const phases: string[] = [];
    const seen = await waitForRun(made, {
      run,
      condition,
      timeoutMs: 20_000,
      signal: new AbortController().signal,
      onPhase: (phase) => phases.push(phase),
    });
    const found = seen.met ? "met" : seen.returned ? "returned" : "neither";
    assert.equal(found, end);
    assert.deepEqual(phases, [
      ...(name === "a box that stays" ? [] : ["left"]),
      ...(end === "neither" ? [] : [end]),
    ]);
  });
}

test("waitForRun ends when it is told to", async () => {
  const stop = new AbortController();
  const made = world([silent]);
  const ask = async (): Promise<Answer> => {
    stop.abort(new Error("Ctrl-C"));
    return silent;
  };
  const wait = { run, condition: untilBack, timeoutMs: 20_000, signal: stop.signal };
  await assert.rejects(waitForRun({ ...made, ask }, { ...wait, onPhase: () => {} }), /Ctrl-C/);
});

test("waitForRun waits for no answer longer than for the run", async () => {
  const made = world([]);
  let nowMs = 0;
  const bounds: number[] = [];
  const seen = await waitForRun(
    {
      ...made,
      nowMs: () => nowMs,
      sleep: async (ms) => {
        nowMs += ms;
      },
      // A login on a machine that hangs takes what it is given.
      ask: async ({ ms }) => {
        bounds.push(ms);
        nowMs += Math.min(ms, 60_000);
        return undecided;
      },
    },
    {
      run,
      condition: untilBack,
      timeoutMs: 70_000,
      signal: new AbortController().signal,
      onPhase: () => {},
    },
  );
  assert.equal(seen.returned, null);
  assert.deepEqual(bounds, [69_000, 8000]);
  assert.equal(nowMs, 70_000);
});

test("waitForRun ends with the console's failure where a line of it is waited for", async () => {
  const made = world([silent]);
  const shows = () => Promise.reject(new Error("the cable is gone"));
  const wait = { run, timeoutMs: 20_000, signal: new AbortController().signal, onPhase: () => {} };
  await assert.rejects(waitForRun({ ...made, shows }, { ...wait, condition: text }), /the cable/);
  const other = await waitForRun({ ...made, shows }, { ...wait, condition: untilBack });
  assert.equal(other.returned, null);
});
