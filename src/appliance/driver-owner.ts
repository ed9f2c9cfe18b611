/**
 * Lets the owner in: over SSH, and at the keyboard. It is loaded once the first disks are exported,
 * since it takes several times as much program as exporting them.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { boxMethods } from "./box-methods.ts";
import { bootLater } from "./driver-boot-later.ts";
import { boxTools } from "./driver-box-tools.ts";
import type { Daemon } from "./driver-daemon.ts";
import { readOptional } from "./driver-files.ts";
import { Keyboard, letInFile } from "./driver-keyboard.ts";
import { runTool } from "./driver-process.ts";
import { serveRpc } from "./driver-rpc.ts";
import type { SoftTarget } from "./driver-soft-target.ts";
import type { Terminals } from "./driver-terminal.ts";
import type { EventList } from "./events.ts";
import { keyMaker } from "./grant-keys.ts";
import type { Log } from "./log.ts";
import type { DaemonSetup } from "./world.ts";

const toolTimeoutMs = 60_000;
const socketFile = "run/diskomator/rpc.sock";

/** A daemon's setup whose choices somebody may change. */
export interface OwnerSetup extends DaemonSetup {
  readonly choices: { readonly withdrawn: Set<string>; readonly offered: Set<string> };
}

/** What there is for an owner to use. */
export interface Owned {
  readonly root: string;
  readonly setup: OwnerSetup;
  readonly daemon: Daemon;
  readonly softTarget: SoftTarget;
  readonly terminals: Terminals;
  readonly events: EventList;
  readonly log: Log;
}

/** Serves until the signal aborts; returns the keyboard, whose keys come from elsewhere. */
export function serveOwner(owned: Owned, signal: AbortSignal): Keyboard {
  const { root, setup, daemon, softTarget, terminals, events, log } = owned;
  const showNotice = (text: string | null): void => daemon.setNotice(text);
  const { grants, choices, tls, configuration } = setup;
  const keys = keyMaker((length) => randomBytes(length));
  const tools = boxTools(root, softTarget, showNotice);
  const boot = bootLater(root, log, tools.now);
  const parts = { box: daemon, tools, grants, keys, choices, events, tls, log, boot };
  const bootId = readOptional(root, "proc/sys/kernel/random/boot_id") ?? "";
  const keyboard = new Keyboard(
    {
      root,
      terminals,
      nqnBase: configuration.config.nqnBase,
      bootId,
      showNotice,
      monotonicMs: tools.monotonicMs,
      log,
      state: () => daemon.state,
      // Whoever presses C is there, which is all that mode `local` asks for.
      grant: (params, call) => boxMethods({ ...parts, isLetIn: () => true }).grant(params, call),
    },
    existsSync(join(root, letInFile)),
  );
  const handlers = boxMethods({ ...parts, isLetIn: () => keyboard.isLetIn });
  const told = (problem: string | null): void => daemon.setProblem("rpc", problem);
  // It takes a while until the kernel knows of it, and the first host comes soon after its grant.
  if (tls) runTool("systemctl", ["start", "tlshd.service"], toolTimeoutMs).catch(() => "");
  serveRpc({ path: join(root, socketFile), handlers, log, told }, signal);
  return keyboard;
}
