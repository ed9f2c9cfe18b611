import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type CallParams, type GrantedAccess, RpcError } from "../rpc/index.ts";
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
