import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../entry.ts";
import { makeSegment } from "../segment/index.ts";
import { breakLinks } from "./break-links.ts";

const base = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 1 };
const file = (path: string, text: string): Entry => ({
  ...base,
  type: "file",
  path,
  data: Buffer.from(text),
});
const packed: readonly Entry[] = [
  file("alone", "1"),
  file("first", "2"),
  { ...base, type: "hardlink", path: "second", target: "first" },
  { ...base, type: "hardlink", path: "third", target: "first" },
];

/** What the kernel makes of entries: path → contents, names of one file sharing theirs. */
function unpack(entries: readonly Entry[]): Record<string, string> {
  const names = new Map<string, { text: string } | string>();
  for (const entry of entries) {
    const found = names.get(entry.path);
    if (entry.type === "hardlink") names.set(entry.path, names.get(entry.target)!);
    else if (entry.type === "symlink") names.set(entry.path, entry.target);
    else if (entry.type === "file") {
      const text = Buffer.from(entry.data).toString();
      if (typeof found === "object") found.text = text;
      else names.set(entry.path, { text });
    }
  }
  return Object.fromEntries(
    [...names].map(([path, one]) => [path, typeof one === "string" ? `→ ${one}` : one.text]),
  );
}

test("breakLinks lets a file replace one name of another, and leaves the others", () => {
  const { listing } = makeSegment(packed, { kind: "store" });
  for (const replaced of ["first", "second"]) {
    const config = [file("alone", "own"), file(replaced, "own"), file("new", "own")];
    const wanted = { alone: "own", first: "2", second: "2", third: "2", new: "own" };
    const made = breakLinks(config, listing.entries);
    assert.deepEqual(unpack([...packed, ...made]), { ...wanted, [replaced]: "own" });
    assert.equal(made.length, config.length + 1);
  }
});
