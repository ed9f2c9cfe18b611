import assert from "node:assert/strict";
import { test } from "node:test";
import { controllerResponse, dhchapSessionKey, hostResponse, responsesEqual } from "./response.ts";

// Computed by Python's hmac and hashlib from the formulas of Base 2.0 §8.13.5: the key is bytes 0
// to 31, the challenge C0h to CFh over and over, the shared secret 256 bytes 07h.
const vectors = [
  {
    hash: "sha256",
    length: 32,
    r1: "1c26f1b5058b76a38bee6da8afaba5bb399b3447565ce5cfadf7cdf342ccb5de",
    r2: "557958cec31d50a2d186b3bb02b86f3bd45461bbcb6a64e21194648926e7d9c9",
  },
  {
    hash: "sha384",
    length: 48,
    r1:
      "feb4f8b1683676f37cddd4b3015d5067f3b7fcaef6f82fb7" +
      "ec2ebd17cb0669c75bd7106f6864265ec0f21a44b718a60d",
    r2:
      "d81ed4d66cbd1a123c2345cb99e44567416f337589a350bf" +
      "ebdcd5353be735251bdbc7c268b84d614c41189e43c44f42",
  },
  {
    hash: "sha512",
    length: 64,
    r1:
      "edde0c6a961ceef8fe43799f4882f185b6cde30c5553cac8771769ebbe561126" +
      "2c6f85077c4330fac47c1d52220eb520f15ae11e62fdfb63c2264e9df712974e",
    r2:
      "9e5fb834db8b23736d94212c22596fcd0bfdd9b09aa911c12dbd5e57f454477e" +
      "968faf846ee1eaf4379c8803ae1c32555d2e8b0ccb18557f8b98ccefd8f78a88",
  },
] as const;

test("hostResponse and controllerResponse give what another implementation gives", () => {
  const names = {
    hostnqn: "nqn.2026-11.org.example:host",
    subnqn: "nqn.2026-11.org.example:disk",
    tid: 0x0506,
  };
  const key = Uint8Array.from({ length: 32 }, (_, index) => index);
  for (const { hash, length, r1, r2 } of vectors) {
    const challenge = Uint8Array.from({ length }, (_, index) => 0xc0 + (index % 16));
    const sessionKey = dhchapSessionKey(hash, new Uint8Array(256).fill(7));
    const asked = { challenge, seqnum: 0x01020304 };
    const plain = { ...asked, sessionKey: undefined };
    const host = hostResponse({ ...names, hash, scc: 0 }, key, plain);
    assert.equal(Buffer.from(host).toString("hex"), r1, hash);
    const augmented = { ...asked, sessionKey };
    const controller = controllerResponse({ ...names, hash, scc: 2 }, key, augmented);
    assert.equal(Buffer.from(controller).toString("hex"), r2, hash);
  }
});

test("responsesEqual compares contents, and lengths first", () => {
  assert.equal(responsesEqual(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true);
  assert.equal(responsesEqual(Uint8Array.of(1, 2), Uint8Array.of(1, 3)), false);
  assert.equal(responsesEqual(Uint8Array.of(1, 2), Uint8Array.of(1)), false);
});
