/** Makes the keys of grants. */
import { ConfiguredPsk, DhchapSecret } from "../nvme/index.ts";
import { grantsMax } from "../rpc/index.ts";
import { grantNqn } from "./grant-exports.ts";
import type { KeyMaker } from "./grants.ts";

const secretBytes = 32;

/** A maker of keys out of random bytes. */
export function keyMaker(random: (length: number) => Uint8Array): KeyMaker {
  return {
    grantsMax,
    makeSecrets: () => ({
      host: new DhchapSecret(random(secretBytes), "sha256").reveal(),
      controller: new DhchapSecret(random(secretBytes), "sha256").reveal(),
      tlsPsk: new ConfiguredPsk(random(secretBytes), "sha256").reveal(),
    }),
    makeKey: ({ tlsPsk }, hostnqn, diskNqn) => {
      const parsed = ConfiguredPsk.parse(tlsPsk);
      if (!parsed.ok) throw new TypeError("A PSK of our own making parses.");
      const parties = { hostnqn, subnqn: grantNqn(diskNqn, hostnqn) };
      const { identity, key } = parsed.psk.retain(hostnqn).tlsPsk(parties);
      return { nqn: diskNqn, identity, key: Buffer.from(key).toString("base64") };
    },
  };
}
