/** A grant of as many disks as can be had. */
import { RpcError } from "../rpc/index.ts";

/**
 * Asks for disks, and again without each one that is refused because somebody else has it.
 * @param ask rejects with an RpcError that names a disk in its facts, as the method `grant` does
 * @returns what was given, and why disks were left out
 * @throws what `ask` does, when no disk is left or none is named.
 */
export async function askForFree<Given>(
  disks: readonly string[],
  ask: (disks: string[]) => Promise<Given>,
): Promise<{ readonly given: Given; readonly refusals: readonly string[] }> {
  const refusals: string[] = [];
  let left = [...disks];
  for (;;) {
    try {
      return { given: await ask(left), refusals };
    } catch (error) {
      if (!(error instanceof RpcError) || error.code !== "refused") throw error;
      const others = left.filter((name) => name !== error.facts.disk);
      if (others.length === 0 || others.length === left.length) throw error;
      refusals.push(error.message);
      left = others;
    }
  }
}
