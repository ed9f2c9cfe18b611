/** Programs of our own in the place of `ip`. */
import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { watchAddresses } from "./driver-network.ts";

test("watchAddresses takes back what it said of a monitor that has died once it runs again", async () => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-network-"));
  const path = process.env.PATH ?? "";
  const end = new AbortController();
  const said: (string | null)[] = [];
  const well = Promise.withResolvers<void>();
  try {
    const program = join(folder, "ip");
    await writeFile(program, '#!/bin/sh\n[ -e "$0.ran" ] && exec sleep 60\n: >"$0.ran"\nexit 3\n');
    await chmod(program, 0o755);
    process.env.PATH = [folder, path].join(delimiter);
    watchAddresses(
      () => {},
      (message) => {
        said.push(message);
        if (message === null && said.some((one) => one !== null)) well.resolve();
      },
      end.signal,
    );
    await well.promise;
    assert.match(said.find((one) => one !== null) ?? "", /ip ended with 3/);
    assert.equal(said.at(-1), null);
  } finally {
    end.abort();
    process.env.PATH = path;
    await rm(folder, { recursive: true });
  }
});
