/** Hands the announcement to systemd-resolved. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Announcement, dnssdFiles, fingerprintOf } from "./announcement.ts";
import { readOptional } from "./driver-files.ts";
import { runTool } from "./driver-process.ts";
import type { Log } from "./log.ts";

const directory = "run/systemd/dnssd";
/** The responder writes it when it starts. */
const responderFile = "run/systemd/resolve/stub-resolv.conf";
const hostKeyFiles = [
  "etc/ssh/ssh_host_ed25519_key.pub",
  // One that is made at every boot, and later than this daemon starts.
  "run/ssh/ssh_host_ed25519_key.pub",
];
/** Disks come in bursts, and taking services anew costs the responder a second of probing. */
const settleMs = 5000;
const toolTimeoutMs = 10_000;

/** The announcement of this box. */
export class Announcer {
  readonly #root: string;
  readonly #log: Log;
  #shown = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(root: string, log: Log) {
    this.#root = root;
    this.#log = log;
  }

  /** The name of the machine, to its kernel; whoever announces it follows. */
  setHostName(name: string): void {
    try {
      writeFileSync(join(this.#root, "proc/sys/kernel/hostname"), name);
    } catch (error) {
      this.#log("problem", { topic: "host name", text: String(error) });
    }
  }

  /**
   * Says what is to be announced. What is there before the responder starts needs no more; a change
   * is told to it once no other has come for a while.
   */
  announce(what: Omit<Announcement, "hostKey">): void {
    const keys = hostKeyFiles.map((path) => fingerprintOf(readOptional(this.#root, path)));
    const files = dnssdFiles({ ...what, hostKey: keys.find((key) => key !== null) ?? null });
    const text = JSON.stringify([...files]);
    if (text === this.#shown) return;
    this.#shown = text;
    try {
      mkdirSync(join(this.#root, directory), { recursive: true });
      for (const [name, content] of files) {
        writeFileSync(join(this.#root, directory, name), content);
      }
    } catch (error) {
      this.#log("problem", { topic: "announcement", text: String(error) });
      return;
    }
    clearTimeout(this.#timer);
    // A responder that is still to start finds the files by itself.
    if (!existsSync(join(this.#root, responderFile))) return;
    this.#timer = setTimeout(() => void this.#tell(), settleMs);
  }

  async #tell(): Promise<void> {
    try {
      const parameters = ["--no-block", "try-restart", "systemd-resolved.service"];
      await runTool("systemctl", parameters, toolTimeoutMs);
      this.#log("announced", {});
    } catch (error) {
      this.#log("problem", { topic: "announcement", text: String(error) });
    }
  }
}
