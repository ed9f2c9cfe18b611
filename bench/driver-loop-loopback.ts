/** A box of `loop.ts` on this machine: a process with a file as its disk, reached over loopback. */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { open, truncate } from "node:fs/promises";
import { connect } from "node:net";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { RpcClient } from "../src/rpc/index.ts";
import { makeFakeUser } from "../test/driver-fake-box.ts";
import { type MeasuredBox, unitBytes, type Written } from "./loop-measures.ts";
import { cores } from "./nvme-process.ts";
import { runProgram } from "./timing.ts";

const execute = promisify(execFile);
const serial = "LOOP0001";
const main = join(import.meta.dirname, "../src/cli/main.ts");

/** @param isShared box and user may use all cores; else each has one */
export async function startLoopback(
  folder: string,
  diskBytes: number,
  isShared: boolean,
): Promise<MeasuredBox> {
  const every = `0-${availableParallelism() - 1}`;
  const boxCores = isShared ? every : `${cores.server}`;
  const userCores = isShared ? every : `${cores.client}`;
  const disk = join(folder, "disk");
  await using stack = new AsyncDisposableStack();
  await truncateTo(disk, diskBytes);
  const box = stack.use(await startProcess(disk, boxCores));
  const user = stack.use(await makeFakeUser({ "lunch-feta": box.port }));
  const client = await openClient(box.port, stack);
  const all = stack.move();
  return {
    about: `on loopback; box on core ${boxCores}, user on core ${userCores}`,
    async empty() {
      await truncateTo(disk, 0);
      await truncateTo(disk, diskBytes);
    },
    written: () => box.written(),
    async flash(image) {
      const args = ["-c", userCores, process.execPath, main, "flash", image, "lunch-feta"];
      const options = ["--confirm", serial, "--json"];
      let text = "";
      const run = await runProgram("taskset", [...args, ...options], user.environment, (out) => {
        text = out;
      });
      return { run, last: JSON.parse(text.trim().split("\n").at(-1) ?? "{}") };
    },
    async hash(lengthBytes) {
      const ranges = [{ offsetBytes: 0, lengthBytes }];
      await client.stream("hash", { disk: "nvme0n1", ranges, unitBytes }, () => {});
    },
    /** With a process for each of the box's cores. */
    async opensslRate() {
      const processes = isShared ? availableParallelism() : 1;
      const speed = ["speed", "-seconds", "2", "-multi", `${processes}`, "-evp", "sha256"];
      const args = ["-c", boxCores, "openssl", ...speed, "-bytes", `${unitBytes}`];
      const { stdout } = await execute("taskset", args);
      return Number(/^sha256\s+([\d.]+)k/im.exec(stdout)?.[1]) * 1000;
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

async function startProcess(disk: string, boxCores: string) {
  const program = join(import.meta.dirname, "loop-box.ts");
  const args = ["-c", boxCores, process.execPath, program, disk, serial];
  const child = spawn("taskset", args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const [line] = await once(lines, "line");
  return {
    port: Number(line),
    async written(): Promise<Written> {
      const answer = once(lines, "line");
      child.stdin.write("\n");
      return JSON.parse((await answer)[0]);
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, "close");
    },
  };
}

async function openClient(port: number, stack: AsyncDisposableStack): Promise<RpcClient> {
  const socket = connect({ host: "127.0.0.1", port });
  // It says first that it speaks SSH, as a box's port does.
  await once(socket, "data");
  stack.defer(() => void socket.destroy());
  const opened = new RpcClient((line) => void socket.write(line));
  socket.on("data", (chunk) => opened.receive(chunk));
  return opened;
}

async function truncateTo(path: string, lengthBytes: number): Promise<void> {
  await using _ = await open(path, "a");
  await truncate(path, lengthBytes);
}
