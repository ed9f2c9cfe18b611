import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOfStatus, type TryFailure } from "./failure.ts";
import { placeBody, resumeHeaders, validatorOf } from "./resume.ts";
import { decideRetry, firstState, progressBytesMin, type RetryState } from "./retry.ts";

const policy = { triesMax: 3, delaysMs: [10, 20] };
const cut: TryFailure = { kind: "transient", reason: "cut" };
const wrong: TryFailure = { kind: "wrong", found: "x", wanted: "y" };

/** The decisions on a row of failures, as words. */
function course(failures: readonly TryFailure[], urlCount: number, gainedBytes = 0): string[] {
  let state: RetryState = firstState;
  return failures.map((failure) => {
    const decision = decideRetry(policy, state, failure, gainedBytes, urlCount);
    state = decision.state;
    const delay = decision.kind === "again" ? ` ${decision.delayMs}` : "";
    return `${decision.kind}${delay} url ${state.urlIndex}`;
  });
}

test("decideRetry gives a connection three tries, then the next URL, then up", () => {
  assert.deepEqual(course([cut, cut, cut, cut, cut, cut], 2), [
    "again 10 url 0",
    "again 20 url 0",
    "again 0 url 1",
    "again 10 url 1",
    "again 20 url 1",
    "give-up url 1",
  ]);
});

test("decideRetry does not count tries that brought much", () => {
  assert.deepEqual(
    new Set(course([cut, cut, cut, cut, cut], 1, progressBytesMin)),
    new Set(["again 10 url 0"]),
  );
});

test("decideRetry starts anew once with wrong bytes, and never repeats what is gone", () => {
  assert.deepEqual(course([wrong, wrong], 1), ["discard url 0", "give-up url 0"]);
  assert.deepEqual(course([wrong, wrong, wrong, wrong], 2), [
    "discard url 0",
    "discard url 1",
    "discard url 1",
    "give-up url 1",
  ]);
  assert.deepEqual(course([{ kind: "gone", status: 404 }], 1), ["give-up url 0"]);
  assert.deepEqual(course([{ kind: "gone", status: 404 }], 2), ["again 0 url 1"]);
  assert.deepEqual(course([{ kind: "refused", reason: "403" }], 1), ["give-up url 0"]);
});

test("decideRetry waits as long as a busy server asks, within reason", () => {
  assert.deepEqual(course([failureOfStatus(503, "2")], 1), ["again 2000 url 0"]);
  assert.deepEqual(course([failureOfStatus(429, "86400")], 1), ["again 10000 url 0"]);
  assert.deepEqual(course([failureOfStatus(503, "soon")], 1), ["again 10 url 0"]);
});

test("failureOfStatus sorts statuses", () => {
  const table: readonly (readonly [number, TryFailure["kind"]])[] = [
    [404, "gone"],
    [410, "gone"],
    [408, "transient"],
    [416, "transient"],
    [429, "transient"],
    [500, "transient"],
    [503, "transient"],
    [401, "refused"],
    [403, "refused"],
    [407, "refused"],
    [304, "refused"],
  ];
  for (const [status, kind] of table) {
    assert.equal(failureOfStatus(status).kind, kind, String(status));
  }
});

test("resumeHeaders asks for the rest, on the condition that the file is the same one", () => {
  const url = "http://m.example.org/x";
  const validator = { url, value: '"tag"' };
  assert.deepEqual(resumeHeaders(0, url, validator), {});
  assert.deepEqual(resumeHeaders(5, url, undefined), { range: "bytes=5-" });
  assert.deepEqual(resumeHeaders(5, url, validator), { range: "bytes=5-", "if-range": '"tag"' });
  assert.deepEqual(resumeHeaders(5, "http://n.example.org/x", validator), { range: "bytes=5-" });
});

test("validatorOf takes strong tags and dates", () => {
  const date = "Sat, 12 Sep 2026 07:55:41 GMT";
  assert.equal(validatorOf("u", { etag: '"a"', "last-modified": date })?.value, '"a"');
  assert.equal(validatorOf("u", { etag: 'W/"a"', "last-modified": date })?.value, date);
  assert.equal(validatorOf("u", { etag: 'W/"a"' }), undefined);
});

test("placeBody tells where an answer's body belongs", () => {
  const range = (value: string) => ({ "content-range": value });
  const table = [
    { name: "whole", status: 200, headers: {}, at: 0 },
    { name: "whole with length", status: 200, headers: { "content-length": "10" }, at: 0 },
    { name: "other length", status: 200, headers: { "content-length": "11" }, at: undefined },
    { name: "rest", status: 206, headers: range("bytes 4-9/10"), at: 4 },
    { name: "rest of unknown", status: 206, headers: range("bytes 4-9/*"), at: 4 },
    { name: "other start", status: 206, headers: range("bytes 5-9/10"), at: undefined },
    { name: "other file", status: 206, headers: range("bytes 4-10/11"), at: undefined },
    { name: "no range", status: 206, headers: {}, at: undefined },
  ];
  for (const { name, status, headers, at } of table) {
    const place = placeBody(status, headers, 4, 10);
    assert.equal(place.kind === "at" ? place.offsetBytes : undefined, at, name);
  }
});
