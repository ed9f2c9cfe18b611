import assert from "node:assert/strict";
import { test } from "node:test";
import { Screen } from "./terminal.ts";

test("Screen shows what a terminal would, after each way of writing over", () => {
  const table: readonly (readonly [written: string, shown: readonly string[]])[] = [
    ["one\r\ntwo", ["one", "two"]],
    ["one\rtwo", ["two"]],
    ["one\r\u001b[2Kno", ["no"]],
    ["one two\r\u001b[3G\u001b[Kly", ["only"]],
    ["a\r\nb\r\nc\u001b[2A\u001b[GA", ["A", "b", "c"]],
    ["a\r\nb\r\nc\u001b[1A\u001b[G\u001b[Jx", ["a", "x"]],
    ["\u001b[?25l\u001b[31mred\u001b[0m\u001b]0;title\u0007!  ", ["red!"]],
    ["███░", ["███░"]],
  ];
  for (const [written, shown] of table) {
    const screen = new Screen();
    screen.write(written);
    assert.deepEqual(screen.lines, shown, JSON.stringify(written));
  }
});
