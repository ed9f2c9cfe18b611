import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type CallParams, type GrantedAccess, type GrantView, RpcError } from "../rpc/index.ts";
import {
  type GrantChannel,
  type GrantEvent,
  type GrantRequest,
  HeldGrant,
  heldGrantSeconds,
  renewalMs,
  retryMs,
} from "./grant.ts";

const params: GrantRequest["params"] = {
  hostnqn: "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90",
  disks: ["nvme0n1"],
  mode: "rw",
};

const access: GrantedAccess = {
  grant: "g1",
  hostnqn: params.hostnqn,
  mode: "rw",
  expiresAt: null,
  secrets: { host: "DHHC-1:01:aG9zdA==:", controller: "DHHC-1:01:Y3RybA==:" },
  tlsPsk: null,
  addresses: [],
  disks: [],
};

function viewOf(grant: string, change: Partial<GrantView> = {}): GrantView {
  const since = "2026-11-23T12:00:00.000Z";
  const rest = { mode: "rw", purpose: "", since, expiresAt: null, overlay: null } as const;
  return {
    grant,
    hostnqn: `nqn.2026-11.org.example:${grant}`,
    disks: ["nvme0n1"],
    ...rest,
    ...change,
  };
}

/** A box that grants, a clock that is turned by hand, and what both were asked. */
function workshop(changes: Partial<GrantChannel> = {}) {
  const calls: (CallParams<"grant"> | CallParams<"revoke">)[] = [];
  const events: string[] = [];
  const reboots: boolean[] = [];
  const pauses: number[] = [];
  let wake: (() => void) | undefined;
  const ended: (() => void)[] = [];
  const channel: GrantChannel = {
    bootedAt: "2026-11-23T12:00:00.000Z",
    onEnded: (listener) => void ended.push(listener),
    grant: async (given) => {
      calls.push(given);
      return await (changes.grant?.(given, {}) ?? access);
    },
    grants: async () => (await changes.grants?.({})) ?? [viewOf("g1")],
    revoke: async (given) => {
      calls.push(given);
      return (await changes.revoke?.(given, {})) ?? {};
    },
  };
  const clock = {
    nowMs: () => 0,
    sleep: (pauseMs: number, { signal }: { signal?: AbortSignal } = {}) => {
      pauses.push(pauseMs);
      return new Promise<void>((resolve, reject) => {
        wake = resolve;
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    },
  };
  const onEvent = (event: GrantEvent) => {
    events.push(event.event);
    if (event.event === "replaced") reboots.push(event.isRebooted);
  };
  const take = () => HeldGrant.take(channel, { params, clock, onEvent });
  const pass = async () => {
    wake?.();
    await turn();
  };
  const endChannel = async () => {
    for (const listener of ended) listener();
    await turn();
  };
  return { take, pass, endChannel, channel, calls, events, reboots, pauses };
}

test("HeldGrant asks for a short grant, prolongs it, and takes it back at the end", async () => {
  const { take, pass, calls, events, pauses } = workshop();
  const held = await take();
  assert.equal(held.access, access);
  await pass();
  await pass();
  await held[Symbol.asyncDispose]();
  await held[Symbol.asyncDispose]();
  const asked = { ...params, seconds: heldGrantSeconds, untilSessionEnds: true };
  assert.deepEqual(calls, [asked, asked, asked, { grant: "g1" }]);
  assert.deepEqual(events, ["renewed", "renewed"]);
  assert.deepEqual(pauses.slice(0, 3), [renewalMs, renewalMs, renewalMs]);
});

test("HeldGrant tries a renewal that failed again, sooner, and tells of it", async () => {
  let isGone = false;
  const { take, pass, events, pauses } = workshop({
    grant: async () => {
      if (isGone) throw new RpcError("closed", "The channel to the box has ended.");
      return access;
    },
  });
  await using _held = await take();
  isGone = true;
  await pass();
  isGone = false;
  await pass();
  assert.deepEqual(events, ["not-renewed", "renewed"]);
  assert.deepEqual(pauses, [renewalMs, retryMs, renewalMs]);
});

test("HeldGrant says when the box has other keys than those that are in use", async () => {
  let host = access.secrets.host;
  const { take, pass, events, reboots, channel } = workshop({
    grant: async () => ({ ...access, secrets: { ...access.secrets, host } }),
  });
  await using _held = await take();
  host = "DHHC-1:01:b3RoZXI=:";
  // The clock of the box was set in between.
  Object.assign(channel, { bootedAt: "2026-11-23T12:00:01.000Z" });
  await pass();
  Object.assign(channel, { bootedAt: "2026-11-23T12:10:00.000Z" });
  await pass();
  assert.deepEqual(events, ["replaced", "replaced"]);
  assert.deepEqual(reboots, [false, true]);
});

test("HeldGrant.findRival prolongs the grant, and finds nobody where it is the only one that writes", async () => {
  const others = [viewOf("g2", { mode: "ro" }), viewOf("g3", { disks: ["vda"] })];
  const { take, calls } = workshop({ grants: async () => [...others, viewOf("g1")] });
  await using held = await take();
  assert.equal(await held.findRival(), undefined);
  assert.deepEqual(calls.length, 2);
  assert.deepEqual(calls[1], calls[0]);
});

test("HeldGrant.findRival says who may write, or that the grant was not held all the time", async () => {
  const found = async (changes: Partial<GrantChannel>, later: Partial<GrantedAccess> = {}) => {
    let given = access;
    const grant = async () => given;
    const { take, events } = workshop({ grant, ...changes });
    await using held = await take();
    given = { ...access, ...later };
    assert.deepEqual(events, []);
    return (await held.findRival()) ?? "";
  };
  const beside = (view: GrantView) => found({ grants: async () => [viewOf("g1"), view] });
  assert.match(await beside(viewOf("g2", { purpose: "flash by eve" })), /flash by eve may write/);
  assert.match(await beside(viewOf("g2")), /^nqn.2026-11.org.example:g2 may write to it, too$/);
  const gone = "its box had taken back meanwhile what it had granted";
  assert.equal(await found({}, { grant: "g7" }), gone);
  const secrets = { ...access.secrets, host: "DHHC-1:01:b3RoZXI=:" };
  assert.equal(await found({}, { secrets }), gone);
});

test("HeldGrant.findRival gives the box's reason, and asks again over a channel that has ended", async () => {
  let fault: Error | undefined;
  const { take, pass, pauses } = workshop({
    grant: async () => {
      if (fault) throw fault;
      return access;
    },
  });
  await using held = await take();
  fault = new RpcError("refused", "Eve has it.");
  assert.equal(await held.findRival(), "Eve has it");
  fault = new RpcError("closed", "The channel to the box has ended.");
  const asking = held.findRival();
  await turn();
  for (let n = 0; n < 3; n++) await pass();
  assert.deepEqual(pauses, [renewalMs, retryMs, retryMs, retryMs, retryMs]);
  fault = undefined;
  await pass();
  assert.equal(await asking, undefined);
  fault = new RpcError("closed", "The channel to the box has ended.");
  const failing = assert.rejects(held.findRival(), { code: "closed" });
  await turn();
  for (let n = 0; n < 4; n++) await pass();
  await failing;
});

test("HeldGrant says so when it got another grant with the same keys", async () => {
  let grant = "g1";
  const { take, pass, events } = workshop({ grant: async () => ({ ...access, grant }) });
  await using _held = await take();
  grant = "g4";
  await pass();
  assert.deepEqual(events, ["replaced"]);
});

test("HeldGrant asks again at once when the channel has ended, which the grant hangs on", async () => {
  const { take, pass, endChannel, calls, events, pauses } = workshop();
  await using _held = await take();
  await endChannel();
  assert.deepEqual([calls.length, events], [2, ["renewed"]]);
  await pass();
  assert.deepEqual([calls.length, pauses], [3, [renewalMs, renewalMs, renewalMs]]);
});

test("HeldGrant ends although the box does not answer, and takes a grant that is gone for taken back", async () => {
  const silent = workshop({ revoke: () => new Promise(() => {}) });
  const held = await silent.take();
  const disposed = held[Symbol.asyncDispose]();
  await turn();
  await silent.pass();
  await disposed;
  const gone = workshop({
    revoke: async () => {
      throw new RpcError("no-such-grant", "No grant is called g1.");
    },
  });
  await (await gone.take())[Symbol.asyncDispose]();
  assert.deepEqual(gone.events, []);
});

test("HeldGrant.take rejects with what the box says", async () => {
  const { take } = workshop({
    grant: async () => {
      throw new RpcError("refused", "Another host writes to it.");
    },
  });
  await assert.rejects(take(), { code: "refused" });
});
