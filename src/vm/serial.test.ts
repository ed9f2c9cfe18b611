import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { ControlStripper, SerialLog } from "./serial.ts";

const encoder = new TextEncoder();

const table = [
  { name: "plain text stays", raw: "a\tb\nc", readable: "a\tb\nc" },
  { name: "carriage returns go", raw: "a\r\nb", readable: "a\nb" },
  { name: "colours", raw: "\x1b[0;1;39mReached\x1b[0m target", readable: "Reached target" },
  { name: "OVMF's cursor moves", raw: "\x1b[2J\x1b[01;01HBdsDxe", readable: "BdsDxe" },
  { name: "OSC with BEL", raw: "a\x1b]0;title\x07b", readable: "ab" },
  { name: "OSC with ESC \\", raw: "a\x1b]3008;start=1\x1b\\b", readable: "ab" },
  { name: "DCS", raw: "a\x1bP+q544e\x1b\\b", readable: "ab" },
  { name: "character set", raw: "a\x1b(Bb", readable: "ab" },
  { name: "single characters after ESC", raw: "a\x1b7\x1b8b", readable: "ab" },
  { name: "a sequence that another cuts short", raw: "\x1b[1\x1b[0mx", readable: "x" },
  { name: "characters beyond ASCII", raw: "Größe 😀 ✓", readable: "Größe 😀 ✓" },
];

for (const { name, raw, readable } of table) {
  test(`SerialLog: ${name}, however the bytes are cut`, () => {
    const bytes = encoder.encode(raw);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const log = new SerialLog();
      log.append(bytes.subarray(0, cut));
      log.append(bytes.subarray(cut));
      assert.equal(log.text, readable);
    }
  });
}

test("ControlStripper: no ESC survives, and text between is never lost twice", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.nat(), (text, cut) => {
      const at = text.length === 0 ? 0 : cut % text.length;
      const whole = new ControlStripper().push(text);
      const stripper = new ControlStripper();
      const parts = stripper.push(text.slice(0, at)) + stripper.push(text.slice(at));
      // A cut inside a surrogate pair cannot come from a TextDecoder.
      const splitsPair = /[\ud800-\udbff]$/.test(text.slice(0, at));
      if (!splitsPair) assert.equal(parts, whole);
      assert.ok(!whole.includes("\x1b"));
    }),
    { seed: 20261123, numRuns: 500 },
  );
});

test("SerialLog.find: strings and patterns, from a position on", () => {
  const log = new SerialLog();
  log.append(encoder.encode("login: root\nlogin: guest\n"));
  assert.deepEqual(log.find("login: "), { text: "login: ", groups: ["login: "], end: 7 });
  const second = log.find(/login: (\w+)/, 7);
  assert.deepEqual(second, { text: "login: guest", groups: ["login: guest", "guest"], end: 24 });
  assert.equal(log.find("login: ", second?.end), undefined);
  assert.equal(log.find(/absent/), undefined);
});

test("SerialLog.find: a caller's global pattern finds the same each time", () => {
  const log = new SerialLog();
  log.append(encoder.encode("ready\n"));
  const pattern = /ready/g;
  assert.equal(log.find(pattern)?.end, 5);
  assert.equal(log.find(pattern)?.end, 5);
});

test("SerialLog: beyond its maximum the oldest text goes and positions stay true", () => {
  const log = new SerialLog(100);
  for (let line = 0; line < 100; line++) log.append(encoder.encode(`line ${line}\n`));
  assert.ok(log.text.length <= 100);
  assert.equal(log.end, 10 * 7 + 90 * 8);
  assert.equal(log.find("line 99")?.end, log.end - 1);
  assert.equal(log.find("line 3\n"), undefined);
  const before = log.end;
  log.append(encoder.encode("next\n"));
  assert.equal(log.find("next", before)?.end, before + 4);
});

test("SerialLog.lastLines: the last lines that are not blank", () => {
  const log = new SerialLog();
  log.append(encoder.encode("a\n\nb\n  \nc\n"));
  assert.equal(log.lastLines(2), "b\nc");
});
