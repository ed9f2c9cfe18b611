/**
 * Stands in for ssh: `node fake-ssh.ts [--says TEXT] ARGUMENTS-OF-SSH`. It says TEXT and ends with
 * 255, as ssh does where it fails; else it joins its pipes to the
 * address that follows `--`, at the TCP port that `-oPort` names.
 */

import { connect } from "node:net";
import { parseArgs } from "node:util";

const [flag, says] = process.argv.slice(2);
if (flag === "--says") {
  process.stderr.write(`${says}\n`);
  process.exitCode = 255;
} else {
  const { values } = parseArgs({
    options: { o: { type: "string", short: "o", multiple: true } },
    strict: false,
    allowPositionals: true,
  });
  const options = (values.o ?? []).map((option) => String(option).split("="));
  const port = options.find(([name]) => name === "Port")?.[1];
  const host = process.argv[process.argv.indexOf("--") + 1] ?? "";
  const socket = connect({ host, port: Number(port) });
  socket.once("connect", () => process.stderr.write("debug1: Connection established.\n"));
  process.stdin.pipe(socket);
  // A server that greets as SSH servers do has said so before anything else.
  socket.once("data", (chunk) => {
    const isGreeting = chunk.subarray(0, 4).toString() === "SSH-";
    process.stdout.write(isGreeting ? chunk.subarray(chunk.indexOf("\n") + 1) : chunk);
    socket.pipe(process.stdout);
  });
  socket.on("error", (error) => {
    process.stderr.write(`ssh: connect to host ${host} port ${port}: ${error.message}\n`);
    process.exitCode = 255;
  });
  socket.on("close", () => process.stdin.destroy());
}
