import assert from "node:assert/strict";
import test from "node:test";
import { checkLock } from "./lock.ts";

const messagesOf = (packages: object) =>
  checkLock("package-lock.json", JSON.stringify({ packages })).map(({ message }) => message);

const integrity = "sha512-x";

test("checkLock allows packages that are found beside or above, for this system or not", () => {
  assert.deepEqual(
    messagesOf({
      "": { dependencies: { a: "1" }, devDependencies: { "@s/b": "1" } },
      "node_modules/a": { integrity, optionalDependencies: { "a-other": "1", c: "2" } },
      "node_modules/a-other": { integrity, optional: true, os: ["other"] },
      "node_modules/a/node_modules/c": { integrity, dependencies: { "@s/b": "1" } },
      "node_modules/@s/b": { integrity },
    }),
    [],
  );
});

test("checkLock refuses a package of another system that is left out, and one without a hash", () => {
  const [missing, bare, ...more] = messagesOf({
    "": { dependencies: { a: "1" } },
    "node_modules/a": { integrity, optionalDependencies: { "a-other": "1" } },
    "node_modules/b": {},
    "node_modules/b/node_modules/a-other": { integrity },
  });
  assert.match(missing!, /Does not pin a-other, which node_modules\/a depends on/);
  assert.match(bare!, /no integrity for node_modules\/b/);
  assert.deepEqual(more, []);
});
