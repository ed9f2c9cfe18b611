import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockError } from "../block/index.ts";
import { BoxError } from "../box/index.ts";
import { FlashError } from "../flash/index.ts";
import { InitiatorError } from "../initiator/index.ts";
import { RpcError } from "../rpc/index.ts";
import { NotFoundError, RefusedError, UsageError } from "./exit.ts";
import { exitCodeOfError, messageOf } from "./outcome.ts";

const codes: readonly [unknown, number][] = [
  [new UsageError("x"), 2],
  [new NotFoundError("x"), 5],
  [new RefusedError("x"), 4],
  [new FlashError("mismatch", "x"), 3],
  [new FlashError("refused", "x"), 4],
  [new InitiatorError("connect-refused", "x"), 6],
  [new InitiatorError("no-namespace", "x"), 5],
  [new InitiatorError("protocol", "x"), 1],
  [new BlockError("gone", "x"), 6],
  [new BlockError("medium", "x"), 1],
  [new BoxError("no-such-box", "x"), 5],
  [new BoxError("ambiguous-disk", "x"), 4],
  [new BoxError("host-key", "x"), 4],
  [new BoxError("timeout", "x"), 6],
  [new BoxError("version", "x"), 1],
  [new RpcError("no-such-disk", "x"), 5],
  [new RpcError("refused", "x"), 4],
  [new RpcError("closed", "x"), 6],
  [new Error("x"), 1],
  ["x", 1],
];

test("exitCodeOfError knows the errors of each part", () => {
  for (const [error, code] of codes) assert.equal(exitCodeOfError(error), code, String(error));
});

test("messageOf tells why a native package has no binary, and other errors as they are", () => {
  const binding = new Error("Cannot find native binding. npm has a bug related to optional ...");
  assert.match(messageOf(binding), /@napi-rs\/lzma.*install again with npm on Node 24/);
  assert.equal(messageOf(new Error("x")), "x");
});
