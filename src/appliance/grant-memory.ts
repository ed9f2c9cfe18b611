/** What an earlier run of the daemon has left of grants; loaded only where it has left anything. */
import * as v from "valibot";
import { type GrantMemory, noGrants } from "./grants.ts";

/** Grants out of a file that an earlier run has left; nothing when it makes no sense. */
export function parseGrantMemory(json: string): GrantMemory {
  try {
    const parsed = v.safeParse(memoryShape, JSON.parse(json));
    return parsed.success ? parsed.output : noGrants;
  } catch {
    return noGrants;
  }
}

const text = v.string();
const memoryShape = v.object({
  lastId: v.number(),
  grants: v.array(
    v.object({
      id: text,
      hostnqn: text,
      nqns: v.array(text),
      mode: v.picklist(["rw", "ro", "overlay"]),
      purpose: text,
      since: text,
      expiresMs: v.nullable(v.number()),
      expiresAt: v.nullable(text),
      overlayBytes: v.nullable(v.number()),
      shared: v.boolean(),
      orphaned: v.boolean(),
      keys: v.array(v.object({ nqn: text, identity: text, key: text })),
    }),
  ),
  secrets: v.array(v.tuple([text, v.object({ host: text, controller: text, tlsPsk: text })])),
});
