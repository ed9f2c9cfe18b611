import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { ask } from "./question.ts";

function terminal() {
  const abort = new AbortController();
  const input = new PassThrough();
  const output = new PassThrough();
  const reason = new Error("interrupted");
  const interrupt = () => abort.abort(reason);
  return { input, output, signal: abort.signal, interrupt, reason };
}

test("ask gives what is typed, and nothing where the input ends", async () => {
  const typed = terminal();
  const answer = ask("Serial? ", typed);
  typed.input.write("J0W1\r");
  assert.equal(await answer, "J0W1");
  assert.match(String(typed.output.read()), /Serial\? /);
  const keys = terminal();
  const byKey = ask("Serial? ", keys);
  keys.input.write("\x04");
  assert.equal(await byKey, undefined, "Ctrl-D");
  const closed = terminal();
  const cut = ask("Serial? ", closed);
  closed.input.end();
  assert.equal(await cut, undefined, "the terminal is gone");
});

test("ask ends with the signal's reason, by Ctrl-C and by whatever else interrupts", async () => {
  for (const interrupt of [
    ({ input }: ReturnType<typeof terminal>) => input.write("\x03"),
    (waiting: ReturnType<typeof terminal>) => waiting.interrupt(),
  ]) {
    const waiting = terminal();
    const answer = ask("Serial? ", waiting);
    interrupt(waiting);
    await assert.rejects(answer, (error) => error === waiting.reason);
    await assert.rejects(ask("Again? ", waiting), (error) => error === waiting.reason);
  }
});
