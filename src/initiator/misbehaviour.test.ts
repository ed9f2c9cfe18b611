import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockError } from "../block/index.ts";
import {
  appendData,
  appendR2t,
  command,
  encodeIcResp,
  encodeTermReq,
  fes,
  type SendFraming,
  type StatusName,
} from "../nvme/index.ts";
import { InitiatorError } from "./index.ts";
import type { FakeCall, FakeOptions } from "./testing/fake-target.ts";
import { open, pattern, settle } from "./testing/open.ts";

interface Misbehaviour {
  readonly name: string;
  /** The call that meets it: a read of 4096 bytes or a write of 16384, unless told. */
  readonly on: "read" | "write" | "flush";
  readonly act: (call: FakeCall) => void;
  /** What the host answers, or nothing where the target ended the connection itself. */
  readonly fes: number | undefined;
  readonly fei: number;
  readonly detail: RegExp;
}

const dataOf = (call: FakeCall, change: Partial<Parameters<typeof appendData>[3]>, length = 4096) =>
  appended(call, (out, framing) => {
    const header = { cccid: call.cid, ttag: 0, datao: 0, last: true, ...change };
    appendData(out, framing, "C2HData", header, pattern(length));
  });
const r2tOf = (call: FakeCall, change: Partial<Parameters<typeof appendR2t>[2]>) =>
  appended(call, (out, framing) => {
    appendR2t(out, framing, { cccid: call.cid, ttag: 1, r2to: 0, r2tl: 16384, ...change });
  });

const misbehaviours: readonly Misbehaviour[] = [
  {
    name: "data for a command that is not under way",
    on: "read",
    act: (call) => dataOf(call, { cccid: call.cid + 1 }),
    fes: fes.invalidHeaderField,
    fei: 8,
    detail: /C2HData for command \d+, which is not under way/,
  },
  {
    name: "data at the wrong offset",
    on: "read",
    act: (call) => dataOf(call, { datao: 512 }, 512),
    fes: fes.dataOutOfRange,
    fei: 0,
    detail: /C2HData 512 to 1024, wanted 0 to 4096/,
  },
  {
    name: "more data than asked for",
    on: "read",
    act: (call) => dataOf(call, {}, 4097),
    fes: fes.dataOutOfRange,
    fei: 0,
    detail: /0 to 4097/,
  },
  {
    name: "data after the last",
    on: "read",
    act: (call) => {
      dataOf(call, {}, 512);
      dataOf(call, { datao: 512 }, 512);
    },
    fes: fes.sequence,
    fei: 0,
    detail: /after the last/,
  },
  {
    name: "success before the last data",
    on: "read",
    act: (call) => dataOf(call, { last: false, success: true }),
    fes: fes.invalidHeaderField,
    fei: 1,
    detail: /SUCCESS without LAST/,
  },
  {
    name: "success by flag after a part",
    on: "read",
    act: (call) => dataOf(call, { success: true }, 512),
    fes: fes.dataOutOfRange,
    fei: 0,
    detail: /success after 512 of 4096/,
  },
  {
    name: "success by response after a part",
    on: "read",
    act: (call) => {
      dataOf(call, {}, 512);
      call.queue.respond(call.cid);
    },
    fes: fes.sequence,
    fei: 0,
    detail: /read succeeded after 512 of 4096 bytes/,
  },
  {
    name: "data for a write",
    on: "write",
    act: (call) => dataOf(call, {}),
    fes: fes.invalidHeaderField,
    fei: 8,
    detail: /C2HData for a write/,
  },
  {
    name: "a request for data of a read",
    on: "read",
    act: (call) => r2tOf(call, {}),
    fes: fes.invalidHeaderField,
    fei: 8,
    detail: /R2T for a read/,
  },
  {
    name: "a request for data of a command that is not under way",
    on: "write",
    act: (call) => r2tOf(call, { cccid: call.cid + 1 }),
    fes: fes.invalidHeaderField,
    fei: 8,
    detail: /R2T for command/,
  },
  {
    name: "a request beyond the command",
    on: "write",
    act: (call) => r2tOf(call, { r2tl: 16385 }),
    fes: fes.dataOutOfRange,
    fei: 0,
    detail: /R2T 0 to 16385/,
  },
  {
    name: "a request that leaves a gap",
    on: "write",
    act: (call) => r2tOf(call, { r2to: 512, r2tl: 512 }),
    fes: fes.dataOutOfRange,
    fei: 0,
    detail: /R2T 512 to 1024/,
  },
  {
    name: "a request for nothing",
    on: "write",
    act: (call) => r2tOf(call, { r2tl: 0 }),
    fes: fes.invalidHeaderField,
    fei: 16,
    detail: /R2T for no data/,
  },
  {
    name: "a second request while the first is being served",
    on: "write",
    act: (call) =>
      appended(call, (out, framing) => {
        appendR2t(out, framing, { cccid: call.cid, ttag: 1, r2to: 0, r2tl: 512 });
        appendR2t(out, framing, { cccid: call.cid, ttag: 2, r2to: 512, r2tl: 512 });
      }),
    fes: fes.limitExceeded,
    fei: 0,
    detail: /second R2T/,
  },
  {
    name: "success of a write whose data was not fetched",
    on: "write",
    act: ({ cid, queue }) => queue.respond(cid),
    fes: fes.sequence,
    fei: 0,
    detail: /write succeeded after 0 of 16384 bytes/,
  },
  {
    name: "a response to a command that is not under way",
    on: "flush",
    act: ({ cid, queue }) => queue.respond(cid + 1),
    fes: fes.invalidHeaderField,
    fei: 20,
    detail: /CapsuleResp for command/,
  },
  {
    name: "a second response to the same command",
    on: "flush",
    act: ({ cid, queue }) => {
      queue.respond(cid);
      queue.respond(cid);
    },
    fes: fes.invalidHeaderField,
    fei: 20,
    detail: /CapsuleResp for command/,
  },
  {
    name: "a second ICResp",
    on: "flush",
    act: ({ queue }) => {
      const dgst = { hdgst: false, ddgst: false };
      queue.send([encodeIcResp({ pfv: 0, cpda: 4, dgst, maxh2cdata: 4096 })]);
    },
    fes: fes.sequence,
    fei: 0,
    detail: /ICResp on a live queue/,
  },
  {
    name: "a PDU of no known type",
    on: "flush",
    act: ({ queue }) => queue.send([new Uint8Array(24).fill(0x55)]),
    fes: fes.invalidHeaderField,
    fei: 0,
    detail: /PDU type 85/,
  },
  {
    name: "a termination request",
    on: "flush",
    act: ({ queue }) =>
      queue.send([encodeTermReq("C2HTermReq", { fes: 6, fei: 3, header: new Uint8Array(8) })]),
    fes: undefined,
    fei: 0,
    detail: /unsupported parameter, information 3/,
  },
];

test("a target that misbehaves gets the right termination request, and a named error", async () => {
  for (const { name, on, act, fes: status, fei, detail } of misbehaviours) {
    const { target, pipe, controller } = await open(once(on, act));
    const disk = await controller.openNamespace(1);
    const call = async () => {
      if (on === "read") await disk.read(0, new Uint8Array(4096));
      else if (on === "write") await disk.write(0, pattern(16384));
      else await disk.flush();
      // Where the first answer was right, the next call meets the consequence.
      await settle();
      await disk.flush();
    };
    await assert.rejects(call(), (error) => {
      assert.ok(error instanceof BlockError && error.code === "gone", name);
      assert.ok(error.cause instanceof InitiatorError && error.cause.code === "closed", name);
      const { cause } = error.cause;
      assert.ok(cause instanceof InitiatorError && cause.code === "protocol", name);
      assert.match(cause.message, detail, name);
      return true;
    });
    await settle();
    const wanted = status === undefined ? [] : [{ fes: status, fei }];
    assert.deepEqual(target.terminations, wanted, name);
    assert.equal(pipe.openCount, 0, name);
  }
});

test("a wrong header digest ends the connection", async () => {
  let digest = 0;
  const act = ({ cid, queue }: FakeCall) => {
    const { framing } = queue;
    queue.framing = { ...framing, hdgst: true };
    const sent = queue.send.bind(queue);
    queue.send = (chunks) => {
      const raw = Buffer.concat(chunks);
      raw[24]! ^= 1;
      digest = raw.readUInt32LE(24);
      sent([raw]);
    };
    queue.respond(cid);
  };
  const { target, controller } = await open(once("flush", act), { digests: { hdgst: true } });
  const disk = await controller.openNamespace(1);
  await assert.rejects(disk.flush(), { name: "BlockError", code: "gone" });
  await settle();
  assert.deepEqual(target.terminations, [{ fes: fes.headerDigest, fei: digest }]);
});

test("a wrong data digest fails the command only, and it is repeated", async () => {
  let damages = 0;
  const damage = (call: FakeCall, times: number) => {
    if (call.command.name !== "read" || damages === times) return false;
    damages += 1;
    const out: Uint8Array[] = [];
    const header = { cccid: call.cid, ttag: 0, datao: 0, last: true };
    appendData(out, call.queue.framing, "C2HData", header, new Uint8Array(512));
    out[2]![0]! ^= 1;
    call.queue.send(out);
    call.queue.respond(call.cid);
    return true;
  };
  const retried: unknown[] = [];
  const log = (event: string, fields: object) => {
    if (event === "command-retried") retried.push(fields);
  };
  const digests = { ddgst: true };
  const { target, controller } = await open({ hook: (call) => damage(call, 2) }, { digests, log });
  target.disk.set(pattern(512));
  const disk = await controller.openNamespace(1);
  const back = new Uint8Array(512);
  await disk.read(0, back);
  assert.deepEqual(back, pattern(512));
  assert.equal(retried.length, 2);
  damages = 0;
  Object.assign(target.options, { hook: (call: FakeCall) => damage(call, 100) });
  await assert.rejects(disk.read(0, back), (error) => {
    assert.ok(error instanceof BlockError && error.code === "gone");
    assert.ok(error.cause instanceof InitiatorError);
    assert.equal(error.cause.facts.statusName, "transientTransport");
    return true;
  });
  await disk.flush();
  await controller.close();
});

/** Acts on the first command of a name, which the target then leaves alone. */
function once(name: string, act: (call: FakeCall) => void): FakeOptions {
  let isDone = false;
  return {
    hook: (call) => {
      if (isDone || call.command.name !== name) return false;
      isDone = true;
      act(call);
      return true;
    },
  };
}

function appended(
  { queue }: FakeCall,
  append: (out: Uint8Array[], framing: SendFraming) => void,
): void {
  const out: Uint8Array[] = [];
  append(out, queue.framing);
  queue.send(out);
}

test("executeIo sends nothing twice, whatever status lets it", async () => {
  const names: readonly StatusName[] = ["transientTransport", "anaTransition", "internalError"];
  for (const name of names) {
    let count = 0;
    const hook = ({ command: { name: sent }, cid, queue }: FakeCall) => {
      if (sent !== "reservationRegister") return false;
      count += 1;
      queue.fail(cid, name, false);
      return true;
    };
    const { controller } = await open({ hook });
    const transfer = { kind: "out", data: new Uint8Array(16) } as const;
    const register = command("reservationRegister", { nsid: 1 });
    await assert.rejects(controller.executeIo(register, { transfer }), { code: "status" });
    assert.equal(count, 1, name);
    await controller.close();
  }
});
