import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "../rpc/index.ts";
import { Keyboard } from "./driver-keyboard.ts";
import type { State } from "./state.ts";

test("Keyboard makes one grant of a key that is held down, and another of the next press", () => {
  const asked: string[] = [];
  let nowMs = 5000;
  const keyboard = new Keyboard(
    {
      root: "/nowhere",
      terminals: { whisper: () => {} },
      state: () => ({ access: "paired", readOnly: false, disks: [] as State["disks"] }) as State,
      grant: async ({ hostnqn }) => {
        asked.push(hostnqn);
        throw new RpcError("limit", "enough");
      },
      nqnBase: "nqn.2026-11.org.example",
      bootId: "aaaaaaaa-bb",
      showNotice: () => {},
      monotonicMs: () => nowMs,
      log: () => {},
    },
    false,
  );
  for (let repeats = 0; repeats < 300; repeats++, nowMs += 33) keyboard.press("c");
  keyboard.press("CCCC");
  assert.equal(asked.length, 1);
  nowMs += 2000;
  keyboard.press("c");
  assert.equal(asked.length, 2);
});
