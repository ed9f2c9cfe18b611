import assert from "node:assert/strict";
import { test } from "node:test";
import { placeOfAddress, placeOfSighting } from "./place.ts";
import { strangerError } from "./stranger.ts";

const [ours, remembered, other] = ["SHA256:ours", "SHA256:remembered", "SHA256:other"];
const home = { imageKeys: [ours], hostKeys: [ours, remembered] };
const announcing = (hostkey: string | null) =>
  placeOfSighting({
    kind: "box",
    name: "lunch-feta-amber",
    port: 22,
    addresses: ["10.0.0.1"],
    text: new Map(hostkey === null ? [] : [["hostkey", hostkey]]),
  });

const cases: readonly [string, ReturnType<typeof announcing>, typeof home, boolean][] = [
  ["our image's key", announcing(ours), home, false],
  ["a key that ssh remembers", announcing(remembered), home, false],
  ["a key that nobody knows", announcing(other), home, true],
  ["no key", announcing(null), home, false],
  ["any key before the first build", announcing(other), { imageKeys: [], hostKeys: [] }, false],
  ["nothing, since it was named", placeOfAddress("10.0.0.1"), home, false],
];
for (const [what, place, known, isStranger] of cases) {
  test(`strangerError: a box that announces ${what} ${isStranger ? "is not" : "is"} asked`, () => {
    const error = strangerError(place, known);
    assert.equal(error?.code, isStranger ? "host-key" : undefined);
    if (error)
      assert.match(error.message, /^lunch-feta-amber at 10\.0\.0\.1 announces .* not known/);
  });
}
