/**
 * Verified I/O by fio on a probe: once, or in rounds in the background while what carries it comes
 * and goes.
 */

import assert from "node:assert/strict";
import { boot } from "./driver-box.ts";
import type { Job, Probe } from "./driver-probe.ts";

/** One job of fio: what it does where. */
export interface Load {
  /** `512`, `16k`; or bounds, `512-64k`, for random sizes. */
  readonly sizes: string;
  readonly amount: string;
  readonly depth: number;
  /** In the order of addresses, where random sizes never overlap, or in none. */
  readonly order: "write" | "randwrite";
}

/**
 * Jobs at the same time, each at a place of its own: all write, then read back and compare.
 * @param more options that win over those of here.
 */
export function fio(path: string, loads: readonly Load[], more = ""): string {
  const jobs = loads.map(
    ({ sizes, amount, depth, order }, index) =>
      `--name=job${index} --offset=${index * 64}M --size=${amount} --rw=${order} ` +
      `${sizes.includes("-") ? "--bsrange" : "--bs"}=${sizes} --iodepth=${depth}`,
  );
  return (
    `fio --filename=${path} --allow_file_create=0 --randrepeat=0 --direct=1 --ioengine=libaio ` +
    `--verify=crc32c --verify_fatal=1 --eta=never --group_reporting ${more} ${jobs.join(" ")}`
  );
}

/** How much is written in a round. */
const amountDefault = "4M";

/**
 * Rounds of writes that are then read and compared, in the background, until one fails or they are
 * ended.
 *
 * They do without SIGPIPE. The kernel's host sends what a process submits from within that process
 * and without MSG_NOSIGNAL (`nvme_tcp_queue_request` in drivers/nvme/host/tcp.c, 6.12.117), so that
 * a connection that has just ended kills who does I/O, although the I/O itself is done again on
 * the next connection. Where that hits a job of fio 3.39, fio's own process dies in `free`.
 */
export class Rounds {
  /** Ends by itself when a write fails, or what is read differs. */
  readonly job: Job;
  readonly #probe: Probe;
  readonly #path: string;
  readonly #end: string;

  /** Starts them, and waits until they write. */
  static async start(
    probe: Probe,
    path: string,
    { amount = amountDefault }: { readonly amount?: string } = {},
  ): Promise<Rounds> {
    const end = await probe.succeed("mktemp -u /run/end-XXXXXX");
    const round = fio(path, [{ sizes: "16k", amount, depth: 4, order: "randwrite" }]);
    const job = await probe.start(
      `trap '' PIPE; while test ! -e ${end}; do ${round} || exit; done`,
    );
    const rounds = new Rounds(job, { probe, path, end });
    await rounds.waitForWrite();
    return rounds;
  }

  private constructor(
    job: Job,
    { probe, path, end }: { readonly probe: Probe; readonly path: string; readonly end: string },
  ) {
    this.job = job;
    this.#probe = probe;
    this.#path = path;
    this.#end = end;
  }

  /**
   * Waits until something has been written from now on.
   * @throws Error with what fio said, when the rounds are over.
   */
  async waitForWrite(): Promise<void> {
    const statistics = `/sys/class/block/$(basename $(realpath ${this.#path}))/stat`;
    const writes = `$(set -- $(cat ${statistics}); echo $5)`;
    const before = await this.#probe.succeed(`echo ${writes}`);
    await this.job.until(`test ${writes} -gt ${before}`, boot);
  }

  /** Ends them after their round; nothing may have gone wrong. Returns how many there were. */
  async finish(): Promise<string> {
    await this.#probe.succeed(`touch ${this.#end}`);
    const { code, output } = await this.job.wait(boot);
    assert.equal(code, 0, output);
    const rates = output.match(/^ +(READ|WRITE): .*/gm) ?? [];
    return `${rates.length / 2} rounds; the last: ${rates.slice(-2).join(";")}`;
  }
}
