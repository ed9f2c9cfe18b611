import assert from "node:assert/strict";
import { type Duplex, duplexPair } from "node:stream";
import test from "node:test";
import { QmpClient } from "./driver-qmp.ts";
import { VmError } from "./error.ts";

/** A QEMU that answers each command line as told. */
function startPeer(answer: (command: { execute: string; id: number }) => string): {
  stream: Duplex;
  say: (text: string) => void;
} {
  const [stream, peer] = duplexPair();
  peer.setEncoding("utf8").on("data", (text: string) => {
    for (const line of text.trim().split("\n")) peer.write(answer(JSON.parse(line)));
  });
  return { stream, say: (text) => void peer.write(text) };
}

const agreeable = ({ id }: { id: number }) => `{"return":{},"id":${id}}\n`;
const greeting = '{"QMP":{"version":{},"capabilities":[]}}\n';

test("QmpClient negotiates after the greeting and no sooner", async () => {
  const commands: string[] = [];
  const { stream, say } = startPeer((command) => {
    commands.push(command.execute);
    return agreeable(command);
  });
  const client = new QmpClient(stream);
  const negotiated = client.negotiate();
  assert.deepEqual(commands, []);
  say(greeting);
  await negotiated;
  assert.deepEqual(commands, ["qmp_capabilities"]);
});

test("QmpClient.execute gives each caller its own answer, in whatever order they come", async () => {
  const held: string[] = [];
  const { stream, say } = startPeer(({ execute, id }) => {
    held.unshift(`{"return":"${execute}","id":${id}}\n`);
    if (held.length === 2) say(held.join(""));
    return "";
  });
  const client = new QmpClient(stream);
  const answers = await Promise.all([client.execute("first"), client.execute("second")]);
  assert.deepEqual(answers, ["first", "second"]);
});

test("QmpClient.execute: a refusal is a VmError with QEMU's words", async () => {
  const { stream } = startPeer(
    ({ id }) => `{"error":{"class":"DeviceNotFound","desc":"Device 'x' not found"},"id":${id}}\n`,
  );
  await assert.rejects(new QmpClient(stream).execute("device_del", { id: "x" }), (error) => {
    assert.ok(error instanceof VmError);
    assert.equal(error.code, "qmp");
    assert.equal(error.facts.errorClass, "DeviceNotFound");
    assert.match(error.message, /device_del: Device 'x' not found/);
    return true;
  });
});

test("QmpClient.waitForEvent takes the first event that fits", async () => {
  const { stream, say } = startPeer(agreeable);
  const client = new QmpClient(stream);
  const found = client.waitForEvent("DEVICE_DELETED", (data) => data.device === "b");
  const event = (name: string, device: string) =>
    `{"event":"${name}","data":{"device":"${device}"},"timestamp":{}}\n`;
  say(event("DEVICE_DELETED", "a") + event("OTHER", "b") + event("DEVICE_DELETED", "b"));
  assert.deepEqual((await found).data, { device: "b" });
});

test("QmpClient: a deadline is a VmError that says what was waited for", async () => {
  const { stream } = startPeer(() => "");
  await assert.rejects(
    new QmpClient(stream).execute("query-status", undefined, { timeoutMs: 1 }),
    (error) =>
      error instanceof VmError && error.code === "timeout" && /query-status/.test(error.message),
  );
});

test("QmpClient: an aborted signal ends the wait with its reason", async () => {
  const { stream } = startPeer(() => "");
  const client = new QmpClient(stream);
  const abort = new AbortController();
  const waiting = client.waitForEvent("NEVER", undefined, { signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(client.execute("quit", undefined, { signal: abort.signal }), /enough/);
});

test("QmpClient: after its failure all that waits and all that comes fails", async () => {
  const { stream } = startPeer(() => "");
  const client = new QmpClient(stream);
  const waiting = client.execute("query-status");
  client.fail(new VmError("exited", "QEMU is gone"));
  await assert.rejects(waiting, /QEMU is gone/);
  await assert.rejects(client.execute("quit"), /QEMU is gone/);
});

test("QmpClient: a line that is no QMP fails the client", async () => {
  const { stream } = startPeer(() => "hello\n");
  await assert.rejects(new QmpClient(stream).execute("quit"), /not JSON: hello/);
});
