/** Configuration from file and command line. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultConfig, parseConfig } from "./config.ts";

test("parseConfig gives the defaults when nobody says anything", () => {
  assert.deepEqual(parseConfig(null, "quiet root=x"), { config: defaultConfig, problems: [] });
});

test("parseConfig lets the command line win over the file", () => {
  const json = JSON.stringify({ export: "all", nqnBase: "nqn.2026-11.org.example" });
  const line = "quiet diskomator.export=listed diskomator.devices=sda,/dev/disk/by-id/x";
  assert.deepEqual(parseConfig(json, line), {
    config: {
      export: "listed",
      devices: ["sda", "/dev/disk/by-id/x"],
      nqnBase: "nqn.2026-11.org.example",
      access: "paired",
      readOnly: false,
    },
    problems: [],
  });
});

test("parseConfig takes who may come, and whether anything may be written", () => {
  const ask = (json: string | null, line: string) => {
    const { config, problems } = parseConfig(json, line);
    assert.deepEqual(problems, []);
    return [config.access, config.readOnly];
  };
  assert.deepEqual(ask(`{"access":"paired","read-only":true}`, ""), ["paired", true]);
  assert.deepEqual(ask(`{"access":"paired"}`, "diskomator.access=local"), ["local", false]);
  assert.deepEqual(ask(null, "diskomator.read-only diskomator.access=open"), ["open", true]);
  assert.deepEqual(ask(`{"read-only":true}`, "diskomator.read-only=no"), ["paired", false]);
});

const wrong: [name: string, json: string | null, line: string, problem: RegExp][] = [
  ["no JSON", "{", "", /not JSON/],
  ["no object", "[]", "", /one object/],
  ["unknown key", `{"exprot":"all"}`, "", /Unknown setting "exprot"/],
  ["unknown word", null, "diskomator.frobnicate", /Unknown setting "frobnicate"/],
  ["wrong choice", `{"export":"some"}`, "", /"export" is "some"; wanted: "all" or/],
  ["wrong list", `{"devices":"sda"}`, "", /"devices" is "sda"; wanted: a list/],
  ["an unknown mode", null, "diskomator.access=closed", /"access" is "closed"; wanted: "paired"/],
  ["neither yes nor no", `{"read-only":1}`, "", /"read-only" is 1; wanted: "yes" or "no"/],
  ["wrong NQN", null, "diskomator.nqnBase=foo", /"nqnBase" is "foo"/],
  ["a choice without its list", `{"export":"listed"}`, "", /no disk is exported/],
  ["a long NQN", null, `diskomator.nqnBase=nqn.2026-11.${"a".repeat(200)}`, /80 bytes/],
];

for (const [name, json, line, problem] of wrong) {
  test(`parseConfig reports and goes on: ${name}`, () => {
    const { config, problems } = parseConfig(json, line);
    assert.equal(problems.length, 1);
    assert.match(problems[0]!, problem);
    assert.equal(config.nqnBase, defaultConfig.nqnBase);
  });
}
