/**
 * The probe, a Linux host in a virtual machine, driven over the shell on its serial line.
 *
 * Every command stands in the serial log with its output and exit code, so that the log of a
 * failed test can be read from top to bottom.
 */

import { setTimeout as sleep } from "node:timers/promises";
import type { Vm } from "../src/vm/index.ts";
import { boot } from "./driver-box.ts";

/** How a command ended. */
export interface Outcome {
  readonly code: number;
  /** Standard output and error, as they came; without the last line break. */
  readonly output: string;
}

/** How long a command may take; default 60 s. */
export interface RunOptions {
  readonly timeoutMs?: number;
}

const runTimeoutMsDefault = 60_000;
/** Between looks at a job in the background. */
const jobPauseMs = 500;
/** The terminal of the guest takes lines of at most 4095 bytes. */
const lineBytesMax = 4000;

/**
 * Each command runs in a shell of its own, so that none can spoil the next. The marks are made
 * from parts, so that a line that is echoed does not look like one of them.
 */
const setUp = [
  "stty -echo -onlcr cols 1000; PS1=; PS2=",
  'run() { printf \'\\n$ %s\\n[%s] says\\n\' "$2" "$1"; (eval "$2") </dev/null 2>&1;' +
    " printf '\\n[%s] ends with %d\\n' \"$1\" $?; }",
  // What the kernel says would stand in the middle of what commands say; `dmesg` has it all.
  "dmesg -n 1",
  "printf '[%s] ready\\n' probe",
];

/** A command in the background. */
export interface Job {
  /** Waits for its end. */
  wait(options?: RunOptions): Promise<Outcome>;
  /**
   * Runs another command again and again until it succeeds, which it is to do before this one ends.
   * @throws Error with what this one said as soon as it has ended, or what the other said last.
   */
  until(command: string, options?: RunOptions): Promise<string>;
}

/** A booted probe. One command at a time: calls wait for each other. */
export class Probe {
  readonly #vm: Vm;
  #last: Promise<unknown> = Promise.resolve();
  #runs = 0;
  #jobs = 0;

  /**
   * Waits for the shell.
   * @param after where the serial log of the last boot begins.
   */
  static async of(vm: Vm, after = 0): Promise<Probe> {
    await vm.waitForSerial(/root@\S+:~# $/, { ...boot, after });
    vm.sendSerial(`${setUp.join("\n")}\n`);
    await vm.waitForSerial("[probe] ready", { ...boot, after });
    return new Probe(vm);
  }

  private constructor(vm: Vm) {
    this.#vm = vm;
  }

  /**
   * Runs a command of bash and waits for its end.
   * @throws VmError `timeout` with the last lines of the log; the command is interrupted.
   */
  run(command: string, options: RunOptions = {}): Promise<Outcome> {
    const outcome = this.#last.then(() => this.#run(command, options));
    this.#last = outcome.catch(() => {});
    return outcome;
  }

  /**
   * Gives the card the address that QEMU's own network forwards ports to, which has no need of DHCP
   * then. By networkd, which would take away an address that it does not know when it is late.
   */
  async useForwardedAddress(): Promise<void> {
    const folder = "/run/systemd/network";
    const address = ["Address=10.0.2.15/24", "Gateway=10.0.2.2"];
    const network = ["[Network]", ...address, "LinkLocalAddressing=no"];
    const lines = ["[Match]", "Type=ether", ...network].map((line) => `'${line}'`).join(" ");
    await this.succeed(`mkdir -p ${folder}; printf '%s\\n' ${lines} >${folder}/70-user.network`);
    await this.succeed("systemctl restart systemd-networkd");
    await this.until("ip -br address | grep -E '^en.* UP .*10\\.0\\.2\\.15'", boot);
  }

  /** Runs a command that must succeed; returns what it said. */
  async succeed(command: string, options: RunOptions = {}): Promise<string> {
    const { code, output } = await this.run(command, options);
    if (code === 0) return output;
    throw new Error(`On "${this.#vm.name}" this ended with ${code}: ${command}\n${output}`);
  }

  /** Starts a command in the background, out of reach of what is run after it. */
  async start(command: string): Promise<Job> {
    const file = `/run/job-${++this.#jobs}`;
    const body = `(${command}) >${file} 2>&1 </dev/null; echo $? >${file}.new; mv ${file}.new ${file}.code`;
    await this.succeed(`setsid bash -c ${quote(body)} >/dev/null 2>&1 &`);
    return {
      wait: (options) => this.#waitForJob(file, options),
      until: (other, options) => this.#untilDuring({ file, command }, other, options),
    };
  }

  /**
   * Runs a command again and again until it succeeds; returns what it said then.
   * @throws Error with what it said last.
   */
  async until(command: string, options: RunOptions = {}): Promise<string> {
    const timeoutMs = options.timeoutMs ?? runTimeoutMsDefault;
    for (const late = AbortSignal.timeout(timeoutMs); ; await sleep(jobPauseMs)) {
      const { code, output } = await this.run(command, options);
      if (code === 0) return output;
      if (!late.aborted) continue;
      throw new Error(
        `On "${this.#vm.name}" this did not succeed for ${timeoutMs} ms: ${command}\n${output}`,
      );
    }
  }

  async #run(command: string, options: RunOptions): Promise<Outcome> {
    const { timeoutMs = runTimeoutMsDefault } = options;
    const id = `run ${++this.#runs}`;
    const line = `run ${quote(id)} ${quote(command)}\n`;
    if (Buffer.byteLength(line) > lineBytesMax) {
      throw new Error(`This command is too long for a terminal's line: ${command}`);
    }
    const after = this.#vm.serialEnd;
    this.#vm.sendSerial(line);
    const end = new RegExp(`^\\[${id}\\] says\\n([^]*?)\\n?^\\[${id}\\] ends with (\\d+)\\n`, "m");
    try {
      const { groups } = await this.#vm.waitForSerial(end, { timeoutMs, after });
      return { code: Number(groups[2]), output: groups[1]!.replace(/\n$/, "") };
    } catch (error) {
      // Ctrl-C: the shell is free for what comes next.
      this.#vm.sendSerial("\x03");
      throw error;
    }
  }

  async #untilDuring(
    job: { readonly file: string; readonly command: string },
    command: string,
    options?: RunOptions,
  ): Promise<string> {
    const output = await this.until(`test -e ${job.file}.code || { ${command}; }`, options);
    if ((await this.run(`test -e ${job.file}.code`)).code !== 0) return output;
    const { code, output: said } = await this.#waitForJob(job.file);
    throw new Error(
      `On "${this.#vm.name}" this ended with ${code} before its time: ${job.command}\n${said}`,
    );
  }

  async #waitForJob(file: string, options?: RunOptions): Promise<Outcome> {
    const code = Number(await this.until(`cat ${file}.code`, options));
    return { code, output: await this.succeed(`cat ${file}`) };
  }
}

/** One word for bash, in one line. */
function quote(text: string): string {
  const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\\": "\\\\", "'": "\\'" };
  return `$'${text.replace(/[\n\\']/g, (character) => escapes[character]!)}'`;
}
