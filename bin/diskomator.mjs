#!/usr/bin/env node
/** Launches the command line program with the pinned Node. */

import { fileURLToPath } from "node:url";
import { environmentOf, exitWith, findPinnedNode, run } from "./pinned-node.mjs";

const entry = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));

await exitWith(() => run(findPinnedNode(), [entry, ...process.argv.slice(2)], environmentOf()));
