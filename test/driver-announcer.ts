/**
 * A program that announces services by multicast DNS, until it is killed:
 * `node driver-announcer.ts INTERFACE ADDRESS TYPE NAME PORT [TEXT...]`. It says "ready" on standard
 * output. What a box announces comes from systemd-resolved; this is for tests without one.
 */

import { createSocket } from "node:dgram";
import { type Answer, decode, encode } from "dns-packet";

const [interfaceName, address, type, name, port, ...text] = process.argv.slice(2);
const group = "ff02::fb";
const mdnsPort = 5353;
const service = `${type}.local`;
const instance = `${name}.${service}`;
const host = `${name}.local`;
const ttl = 120;
const answers: readonly Answer[] = [
  { type: "PTR", name: service, ttl, data: instance },
  { type: "SRV", name: instance, ttl, data: { target: host, port: Number(port) } },
  { type: "TXT", name: instance, ttl, data: text },
  { type: address?.includes(":") ? "AAAA" : "A", name: host, ttl, data: address ?? "" },
];

const socket = createSocket({ type: "udp6", reuseAddr: true, ipv6Only: true });
socket.on("message", (packet, { address: from }) => {
  const message = decode(packet);
  if (message.type !== "query") return;
  const asked = new Set(message.questions?.map((question) => question.name));
  // As many responders do, only what was asked for is told: the rest has to be asked for too.
  const fitting = answers.filter((answer) => asked.has(answer.name));
  const scope = from.split("%")[1] ?? interfaceName;
  if (fitting.length === 0) return;
  socket.send(encode({ type: "response", answers: [...fitting] }), mdnsPort, `${group}%${scope}`);
});
socket.bind(mdnsPort, () => {
  socket.setMulticastInterface(`::%${interfaceName}`);
  socket.addMembership(group, `::%${interfaceName}`);
  process.stdout.write("ready\n");
});
