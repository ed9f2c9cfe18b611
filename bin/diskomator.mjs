#!/usr/bin/env node
/** Launches the command line program with the pinned Node: a checkout's source, or what is installed. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { exitWith, runPinned } from "./pinned-node.mjs";

// The package does without this source: below node_modules Node strips no types.
const source = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const installed = fileURLToPath(new URL("../dist/cli.js", import.meta.url));
const entry = existsSync(source) ? source : installed;

// What lives long lies outside this heap: a larger one for young objects only takes memory (a target
// with 64 connections at depth 128: 185 MiB instead of 135), and no load is faster with it.
const heap = "--max-semi-space-size=4";

await exitWith(() => runPinned([heap, entry, ...process.argv.slice(2)]));
