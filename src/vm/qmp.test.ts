import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { decodeQmpLine, encodeQmpCommand, QmpDecoder, qmpLineBytesMax } from "./qmp.ts";

// Lines as in QEMU's docs/interop/qmp-spec.rst.
const table = [
  {
    name: "greeting",
    line: '{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7}},"capabilities":["oob"]}}',
    message: { kind: "greeting" },
  },
  {
    name: "return",
    line: '{"return":{"running":true},"id":7}',
    message: { kind: "return", id: 7, value: { running: true } },
  },
  {
    name: "return of an empty string",
    line: '{"return":"","id":8}',
    message: { kind: "return", id: 8, value: "" },
  },
  {
    name: "event",
    line: '{"timestamp":{"seconds":1,"microseconds":2},"event":"DEVICE_DELETED","data":{"device":"d"}}',
    message: { kind: "event", event: "DEVICE_DELETED", data: { device: "d" } },
  },
  {
    name: "event without data",
    line: '{"timestamp":{"seconds":1,"microseconds":2},"event":"RESUME"}',
    message: { kind: "event", event: "RESUME", data: {} },
  },
  {
    name: "error",
    line: '{"error":{"class":"GenericError","desc":"no"},"id":3}',
    message: { kind: "error", id: 3, errorClass: "GenericError", description: "no" },
  },
  {
    name: "error without id",
    line: '{"error":{"class":"GenericError","desc":"JSON parse error"}}',
    message: {
      kind: "error",
      id: undefined,
      errorClass: "GenericError",
      description: "JSON parse error",
    },
  },
] as const;

for (const { name, line, message } of table) {
  test(`decodeQmpLine: ${name}`, () => assert.deepEqual(decodeQmpLine(line), message));
}

const malformed = [
  { line: "hello", reason: "not JSON" },
  { line: "[1]", reason: "not an object" },
  { line: "null", reason: "not an object" },
  { line: "{}", reason: "neither greeting, event, return nor error" },
  { line: '{"return":{}}', reason: "a return without the id of its command" },
  { line: '{"error":{"class":1},"id":1}', reason: "an error without class and description" },
];

for (const { line, reason } of malformed) {
  test(`decodeQmpLine: ${line} is malformed: ${reason}`, () => {
    assert.deepEqual(decodeQmpLine(line), { kind: "malformed", reason, line });
  });
}

test("QmpDecoder gives the same messages however the bytes are cut", () => {
  const bytes = Buffer.from(table.map(({ line }) => `${line}\r\n`).join(""));
  const messages = table.map(({ message }) => message);
  for (let size = 1; size <= bytes.length; size++) {
    const decoder = new QmpDecoder();
    const found = [];
    for (let at = 0; at < bytes.length; at += size) {
      found.push(...decoder.push(bytes.subarray(at, at + size)));
    }
    assert.deepEqual(found, messages);
  }
});

test("QmpDecoder keeps no view of the caller's buffer", () => {
  const decoder = new QmpDecoder();
  const chunk = Buffer.from('{"return":1,');
  decoder.push(chunk);
  chunk.fill(0);
  assert.deepEqual(decoder.push(Buffer.from('"id":1}\n')), [{ kind: "return", id: 1, value: 1 }]);
});

test("QmpDecoder: an endless line is malformed, and the next one is read", () => {
  const decoder = new QmpDecoder();
  const chunk = Buffer.alloc(1024 * 1024, 0x20);
  chunk[0] = 0x5b;
  for (let bytes = 0; bytes <= qmpLineBytesMax; bytes += chunk.length) {
    assert.deepEqual(decoder.push(chunk), []);
  }
  const [bad, good] = decoder.push(Buffer.from('\n{"return":1,"id":2}\n'));
  assert.equal(bad?.kind, "malformed");
  assert.deepEqual(good, { kind: "return", id: 2, value: 1 });
});

test("QmpDecoder takes any bytes without throwing", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (chunks) => {
      const decoder = new QmpDecoder();
      for (const chunk of chunks) {
        for (const message of decoder.push(chunk)) assert.ok(message.kind.length > 0);
      }
    }),
    { seed: 20261123, numRuns: 500 },
  );
});

test("encodeQmpCommand: one line, arguments only when there are some", () => {
  assert.equal(encodeQmpCommand(1, "quit"), '{"execute":"quit","id":1}\n');
  assert.equal(
    encodeQmpCommand(2, "device_del", { id: "a\nb" }),
    '{"execute":"device_del","arguments":{"id":"a\\nb"},"id":2}\n',
  );
});
