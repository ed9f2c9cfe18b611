/** Listens to the keyboard of the box: whoever stands there has its disks in reach anyway. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { GrantedAccess, Handlers } from "../rpc/index.ts";
import { runTool } from "./driver-process.ts";
import type { Terminals } from "./driver-terminal.ts";
import { askForFree } from "./free-disks.ts";
import {
  codedLine,
  connectLines,
  keyboardGrantSeconds,
  keyboardHost,
  noSecret,
  shownMs,
} from "./keyboard.ts";
import type { Log } from "./log.ts";
import type { State } from "./state.ts";

/** What the keyboard is given. */
export interface KeyboardSetup {
  readonly root: string;
  readonly terminals: Pick<Terminals, "whisper">;
  readonly state: () => State | null;
  readonly grant: Handlers["grant"];
  readonly nqnBase: string;
  readonly bootId: string;
  readonly showNotice: (text: string | null) => void;
  readonly monotonicMs: () => number;
  readonly log: Log;
}

/** Below the root: there once somebody has let hosts in; sshd waits for it. */
export const letInFile = "run/diskomator/let-in";
const toolTimeoutMs = 60_000;
/** A key that is held down, or lain upon, comes again sooner: only its first press counts. */
const repeatMsMax = 1000;

/** The keyboard of one box. */
export class Keyboard {
  readonly #setup: KeyboardSetup;
  readonly #never = new AbortController().signal;
  #isLetIn: boolean;
  #hides: NodeJS.Timeout | undefined;
  #count = 0;
  #pressedMs = Number.NEGATIVE_INFINITY;

  constructor(setup: KeyboardSetup, isLetIn: boolean) {
    this.#setup = setup;
    this.#isLetIn = isLetIn;
  }

  /** In access mode `local`: whether somebody has let hosts in since the box booted. */
  get isLetIn(): boolean {
    return this.#isLetIn;
  }

  /** Does what a key stands for; any other does nothing. */
  press(text: string): void {
    const state = this.#setup.state();
    if (state === null) return;
    for (const key of text.slice(0, 8).toLowerCase()) {
      if (key === "l" && state.access === "local") this.#letIn();
      if (key !== "c" || state.access === "open") continue;
      // Each press is another grant, and there are so many for the whole box.
      const beforeMs = this.#pressedMs;
      this.#pressedMs = this.#setup.monotonicMs();
      if (this.#pressedMs - beforeMs > repeatMsMax) void this.#showConnectLines(state);
    }
  }

  #letIn(): void {
    if (this.#isLetIn) return;
    this.#isLetIn = true;
    const { root, log, showNotice } = this.#setup;
    log("let-in", {});
    showNotice("Hosts are let in until this box ends, as if it were paired");
    writeFileSync(join(root, letInFile), "");
    runTool("systemctl", ["start", "ssh.service"], toolTimeoutMs).catch((error: unknown) => {
      log("problem", { topic: "ssh", text: String(error) });
    });
  }

  async #showConnectLines(state: State): Promise<void> {
    const { terminals, nqnBase, bootId, log } = this.#setup;
    this.#count += 1;
    const exported = state.disks.filter((row) => row.state.kind === "exported");
    const rows = exported.filter(
      ({ disk }) => state.readOnly === (disk.readOnly || state.readOnly),
    );
    const disks = rows.map(({ disk }) => disk.name);
    const host = keyboardHost(nqnBase, this.#count, bootId);
    try {
      const ask = (free: string[]) => this.#ask(host, free, state.readOnly);
      const { given, refusals } = await askForFree(disks, ask);
      const lines = [...refusals, ...connectLines(given, state)];
      const coded = codedLine(lines);
      const { qrCode } = await import("./qr-code.ts");
      terminals.whisper({ lines, code: coded === null ? null : qrCode(coded) });
    } catch (error) {
      log("problem", { topic: "keyboard", text: String(error) });
      const why = error instanceof Error ? error.message : String(error);
      terminals.whisper({ lines: [why], code: null });
    }
    clearTimeout(this.#hides);
    this.#hides = setTimeout(() => terminals.whisper(noSecret), shownMs).unref();
  }

  /** Each press is another host: they share what they write to, by the wish of one who stands there. */
  async #ask(hostnqn: string, disks: string[], readOnly: boolean): Promise<GrantedAccess> {
    return await this.#setup.grant(
      {
        hostnqn,
        disks,
        mode: readOnly ? "ro" : "rw",
        shared: !readOnly,
        seconds: keyboardGrantSeconds,
        untilSessionEnds: false,
        purpose: "whoever stood in front of the screen",
      },
      { signal: this.#never, session: this.#never, send: async () => {} },
    );
  }
}
