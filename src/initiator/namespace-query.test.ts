import assert from "node:assert/strict";
import { test } from "node:test";
import { cns, encodeNamespaceList, identifyNamespace } from "../nvme/index.ts";
import type { InitiatorLog } from "./index.ts";
import type { FakeCall } from "./testing/fake-target.ts";
import { open } from "./testing/open.ts";

const zero = identifyNamespace.decode(new Uint8Array(4096));
const odd = [
  { name: "metadata in its blocks", format: { lbads: 9, ms: 8 }, code: "unsupported" },
  { name: "blocks of 2 bytes", format: { lbads: 1, ms: 0 }, code: "protocol" },
];

for (const { name, format, code } of odd) {
  test(`a namespace with ${name} hides no other one`, async () => {
    const lbaf = zero.lbaf.map((none, n) => (n > 0 ? none : { ...none, ...format }));
    const flbas = { ...zero.flbas, extended: true };
    const identify = identifyNamespace.encode({ ...zero, nsze: 8n, ncap: 8n, flbas, lbaf });
    const hook = ({ command, cid, queue }: FakeCall) => {
      if (command.name !== "identify") return false;
      if (command.cns === cns.activeNamespaces) {
        queue.sendData(cid, encodeNamespaceList([1, 2]));
      } else if (command.cns === cns.namespace && command.nsid === 2) {
        queue.sendData(cid, identify);
      } else return false;
      return true;
    };
    const skipped: unknown[] = [];
    const log: InitiatorLog = (event, { nsid, reason }) => {
      if (event === "namespace-skipped") skipped.push([nsid, String(reason).slice(0, 27)]);
    };
    const { controller } = await open({ hook }, { log });
    const found = await controller.namespaces();
    assert.deepEqual(
      found.map(({ nsid }) => nsid),
      [1],
    );
    assert.deepEqual(skipped, [[2, "Cannot use namespace 2 of f"]]);
    assert.equal((await controller.findNamespace({ nsid: 1 })).nsid, 1);
    await assert.rejects(controller.namespace(2), { code });
    await controller.close();
  });
}
