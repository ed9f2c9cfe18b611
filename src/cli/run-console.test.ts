/** Consoles: where they are, and lines that are found there and nowhere else. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ConsoleLines } from "./console-lines.ts";
import { RefusedError, UsageError } from "./exit.ts";
import { parseConsole, RunConsole } from "./run-console.ts";

test("parseConsole reads files, servers and ports of this machine", () => {
  assert.deepEqual(parseConsole("serial.log"), { kind: "file", path: "serial.log" });
  assert.deepEqual(parseConsole("file:tcp:1"), { kind: "file", path: "tcp:1" });
  assert.deepEqual(parseConsole("tcp:lab:4001"), { kind: "tcp", host: "lab", port: 4001 });
  assert.deepEqual(parseConsole("tcp:[fe80::1]:23"), { kind: "tcp", host: "fe80::1", port: 23 });
  assert.deepEqual(parseConsole("udp:6666"), { kind: "udp", host: undefined, port: 6666 });
  const own = { kind: "udp", host: "192.0.2.7", port: 6666 };
  assert.deepEqual(parseConsole("udp:192.0.2.7:6666"), own);
  for (const wrong of ["", "tcp:4001", "tcp:lab:x", "udp:", "udp:70000", "udp:0"]) {
    assert.throws(() => parseConsole(wrong), UsageError, wrong);
  }
});

const bytes = (text: string) => new TextEncoder().encode(text);
const cuts: readonly [name: string, pieces: readonly string[], found: string | null][] = [
  ["a line", ["one\r\nbooted: 7\r\n"], "booted: 7"],
  ["a line in pieces", ["boo", "ted: ", "7"], "booted: 7"],
  ["a prompt without an end", ["lunch login booted: 7"], "lunch login booted: 7"],
  ["colours within", ["\x1b[1mboo\x1b[0mted: 7\n"], "booted: 7"],
  ["two lines", ["booted:\n7\n"], null],
];

for (const [name, pieces, found] of cuts) {
  test(`ConsoleLines finds a pattern in ${name}${found === null ? ": no" : ""}`, async () => {
    const lines = new ConsoleLines();
    lines.push(bytes("booted: 7 before"));
    const search = lines.find(/booted: 7/);
    for (const piece of pieces) lines.push(bytes(piece));
    assert.equal(await Promise.race([search, sleep(10, null)]), found);
  });
}

test("ConsoleLines keeps the last lines, without control characters and empty ones", () => {
  const lines = new ConsoleLines();
  for (let n = 0; n < 1000; n++) lines.push(bytes(`line ${n}\r\n\r\n`));
  lines.push(bytes("\x1b[31mlogin\x1b[0m: "));
  const last = lines.last();
  assert.deepEqual(last.slice(-2), ["line 999", "login: "]);
  assert.equal(last.length, 101);
  // A search begins anew, what is shown does not.
  void lines.find(/x/);
  assert.equal(lines.last().at(-1), "login: ");
});

test("RunConsole finds what is appended to a file, and not what was there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "console-"));
  try {
    const path = join(folder, "serial.log");
    await writeFile(path, "login: before\n");
    await using found = await RunConsole.open({ kind: "file", path });
    const line = found.find(/login:/);
    await appendFile(path, "login: after\n");
    assert.equal(await line, "login: after");
    await using again = await RunConsole.open({ kind: "file", path });
    const short = again.find(/login:/);
    await writeFile(path, "login: new\n");
    assert.equal(await short, "login: new");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("RunConsole connects again to a server of serial lines that hung up", async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    if (sockets.length === 1) socket.destroy();
    else socket.write("login: ");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  {
    await using found = await RunConsole.open({ kind: "tcp", host: "127.0.0.1", port });
    assert.equal(await found.find(/login:/), "login: ");
  }
  server.close();
  await assert.rejects(
    RunConsole.open({ kind: "tcp", host: "127.0.0.1", port }),
    (error) => error instanceof RefusedError && /Nothing was booted/.test(error.message),
  );
});

test("RunConsole hears netconsole", async () => {
  const probe = createSocket("udp4").bind(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  await using found = await RunConsole.open({ kind: "udp", host: "127.0.0.1", port });
  const line = found.find(/login:/);
  const sender = createSocket("udp4");
  sender.send("[    1.0] login: \n", port, "127.0.0.1");
  assert.equal(await line, "[    1.0] login: ");
  sender.close();
});

test("RunConsole reads a pipe, whose writers come and go, and ends though nobody writes", async () => {
  if (process.platform === "win32") return;
  const folder = await mkdtemp(join(tmpdir(), "console-"));
  try {
    const path = join(folder, "line");
    execFileSync("mkfifo", [path]);
    await using found = await RunConsole.open({ kind: "file", path });
    for (const word of ["one", "two"]) {
      const line = found.find(new RegExp(`login: ${word}`));
      await writeFile(path, `login: ${word}\n`);
      assert.equal(await line, `login: ${word}`);
    }
    assert.deepEqual(found.lastLines(), ["login: one", "login: two"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("RunConsole fails when its line is taken away, and does not wait for it in silence", async () => {
  if (process.platform === "win32") return;
  const folder = await mkdtemp(join(tmpdir(), "console-"));
  try {
    const path = join(folder, "line");
    execFileSync("mkfifo", [path]);
    await using found = await RunConsole.open({ kind: "file", path });
    const late = sleep(20_000, "in silence", { ref: false });
    const line = Promise.race([found.find(/login:/), late]);
    await rm(path);
    await assert.rejects(line, /line cannot be listened to any more: it is not there any more/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("RunConsole says why it can listen no more, to who waits and to who asks", async () => {
  if (process.platform !== "linux") return;
  // Nothing can be read at its beginning.
  await using found = await RunConsole.open({ kind: "file", path: "/proc/self/mem" });
  await assert.rejects(found.find(/x/), /\/proc\/self\/mem cannot be listened to any more: EIO/);
  await assert.rejects(found.failed, /EIO/);
  await assert.rejects(RunConsole.open({ kind: "file", path: tmpdir() }), RefusedError);
});
