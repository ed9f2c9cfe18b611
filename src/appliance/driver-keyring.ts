/**
 * TLS keys for the kernel's target: its port looks for them in the keyring `.nvme`, in memory. A key
 * is handed over on standard input, so that no list of processes shows it.
 */
import { spawn } from "node:child_process";
import { runTool } from "./driver-process.ts";
import { ApplianceError } from "./error.ts";

const keyring = "%:.nvme";
const timeoutMs = 10_000;
const startTimeoutMs = 60_000;

/** The keys of the keyring, by identity. */
export class TlsKeyring {
  /** Identity → serial number of the key. */
  readonly #held = new Map<string, string>();
  #isOurs = false;

  /**
   * Makes the keys in the keyring those of `keys`. What an earlier daemon left is cleared away
   * first; connections that are open keep what they have. One that fails stops no other.
   * @throws ApplianceError `tool` when the kernel or keyctl refuses
   */
  async settle(keys: ReadonlyMap<string, Uint8Array>): Promise<void> {
    if (!this.#isOurs) {
      if (keys.size === 0) return;
      await runTool("keyctl", ["clear", keyring], timeoutMs);
      // It does the handshakes for the kernel; a box that grants nothing does without it.
      await runTool("systemctl", ["start", "tlshd.service"], startTimeoutMs);
      this.#isOurs = true;
    }
    const faults: unknown[] = [];
    for (const [identity, serial] of this.#held) {
      if (keys.has(identity)) continue;
      this.#held.delete(identity);
      const gone = runTool("keyctl", ["unlink", serial, keyring], timeoutMs);
      await gone.catch((error: unknown) => faults.push(error));
    }
    for (const [identity, key] of keys) {
      if (this.#held.has(identity)) continue;
      const added = addKey(identity, key).then((serial) => this.#held.set(identity, serial));
      await added.catch((error: unknown) => faults.push(error));
    }
    if (faults.length > 0) throw faults[0];
  }
}

/** Adds a key and returns its serial number. */
function addKey(identity: string, key: Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    const parameters = ["padd", "psk", identity, keyring];
    const child = spawn("keyctl", parameters, { stdio: ["pipe", "pipe", "pipe"] });
    let said = "";
    let complaint = "";
    const fail = (cause: unknown): void => {
      const message = `Cannot give the kernel a TLS key: keyctl said: ${complaint.trim() || cause}`;
      reject(new ApplianceError("tool", message, { identity }, { cause }));
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint += text;
    });
    child.stdin.on("error", () => {});
    child.on("error", fail);
    child.on("close", (code) => {
      if (code === 0) resolve(said.trim());
      else fail(new Error(`it ended with ${code}`));
    });
    child.stdin.end(key);
  });
}
