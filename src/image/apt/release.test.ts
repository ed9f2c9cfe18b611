import assert from "node:assert/strict";
import { before, test } from "node:test";
import fc from "fast-check";
import {
  createCleartextMessage,
  generateKey,
  type PrivateKey,
  readPrivateKey,
  sign,
} from "openpgp";
import { ImageError, type ImageErrorCode } from "../error.ts";
import { type TrustedKey, trustedKey } from "./keys.ts";
import { parseRelease, type ReleaseRequest, readRelease } from "./release.ts";

const now = new Date("2026-11-23T12:00:00Z");
const hash = "a".repeat(64);
const text = `Origin: Example
Suite: stable-updates
Codename: trixie-updates
Date: Sat, 21 Nov 2026 02:10:46 UTC
Valid-Until: Sat, 28 Nov 2026 02:10:46 UTC
Acquire-By-Hash: yes
Architectures: all amd64
Components: updates/main non-free-firmware
SHA256:
 ${hash}      123 main/binary-amd64/Packages.xz
 ${"b".repeat(64)} 0 main/binary-amd64/Release
`;

interface Pair {
  readonly secret: PrivateKey;
  readonly trusted: TrustedKey;
}

let main: Pair;
let security: Pair;
let stranger: Pair;
let old: Pair;

async function makePair(label: string, archive: TrustedKey["archive"], days = 0): Promise<Pair> {
  const { privateKey, publicKey } = await generateKey({
    type: "ecc",
    curve: "ed25519Legacy",
    userIDs: [{ name: label }],
    date: new Date("2026-01-01T00:00:00Z"),
    ...(days === 0 ? {} : { keyExpirationTime: days * 86_400 }),
  });
  const secret = await readPrivateKey({ armoredKey: privateKey });
  return { secret, trusted: await trustedKey({ label, archive, armored: publicKey }) };
}

before(async () => {
  main = await makePair("main", "debian");
  security = await makePair("security", "debian-security");
  stranger = await makePair("stranger", "debian");
  old = await makePair("old", "debian", 60);
});

async function signed(
  content: string,
  pairs: readonly Pair[],
  date = new Date("2026-11-21T03:00:00Z"),
): Promise<string> {
  const message = await createCleartextMessage({ text: content });
  return await sign({ message, signingKeys: pairs.map(({ secret }) => secret), date });
}

async function read(file: string | Uint8Array, changes: Partial<ReleaseRequest> = {}) {
  return await readRelease(typeof file === "string" ? new TextEncoder().encode(file) : file, {
    archive: "debian",
    suite: "trixie-updates",
    mirror: "http://mirror.example.org/debian",
    keys: [main.trusted, security.trusted, old.trusted],
    now,
    ...changes,
  });
}

function refusal(code: ImageErrorCode, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof ImageError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

test("readRelease gives the signed fields", async () => {
  const release = await read(await signed(text, [main]));
  assert.equal(release.codename, "trixie-updates");
  assert.equal(release.date.toISOString(), "2026-11-21T02:10:46.000Z");
  assert.deepEqual(release.components, ["main", "non-free-firmware"]);
  assert.equal(release.hasByHash, true);
  assert.deepEqual(release.files.get("main/binary-amd64/Packages.xz"), {
    sha256: hash,
    sizeBytes: 123,
  });
});

test("readRelease takes the suite's name as well as its code name, and no other", async () => {
  const file = await signed(text, [main]);
  assert.equal((await read(file, { suite: "stable-updates" })).suite, "stable-updates");
  await assert.rejects(read(file, { suite: "trixie" }), refusal("signature", /wanted trixie/));
});

test("readRelease passes over unknown signers beside a known one", async () => {
  assert.ok(await read(await signed(text, [stranger, main])));
});

test("readRelease refuses a file that only strangers, other archives' or expired keys signed", async () => {
  await assert.rejects(read(await signed(text, [stranger])), refusal("signature", /unknown key/));
  await assert.rejects(
    read(await signed(text, [security])),
    refusal("signature", /may only sign the archive debian-security/),
  );
  const early = await signed(text, [old], new Date("2026-02-01T00:00:00Z"));
  await assert.rejects(read(early), refusal("signature", /old, which expired/));
  assert.ok(await read(await signed(text, [security]), { archive: "debian-security" }));
});

test("readRelease refuses a changed byte, even beside a signature that would count", async () => {
  const file = await signed(text, [main]);
  const changed = file.replace("      123 main", "      124 main");
  assert.notEqual(changed, file);
  await assert.rejects(read(changed), refusal("signature", /key main is bad/));

  const [, good] = (await signed(text, [main])).split("-----BEGIN PGP SIGNATURE-----");
  const other = await signed(text.replace("Example", "Other"), [main, security]);
  const [head] = other.split("-----BEGIN PGP SIGNATURE-----");
  await assert.rejects(
    read(`${head}-----BEGIN PGP SIGNATURE-----${good}`),
    refusal("signature", /is bad/),
  );
});

test("readRelease refuses text before, after and between what is signed", async () => {
  const file = await signed(text, [main]);
  const table = {
    before: `Codename: trixie\n${file}`,
    blankBefore: `\n${file}`,
    after: `${file}\nCodename: trixie\n`,
    twice: `${file}${file}`,
    unsigned: text,
    half: file.slice(0, file.length / 2),
    empty: "",
  };
  for (const [name, value] of Object.entries(table)) {
    await assert.rejects(read(value), refusal("signature", /exactly one clear-signed/), name);
  }
  await assert.rejects(read(Uint8Array.of(0xff, 0xfe)), refusal("signature", /not text/));
});

test("readRelease believes only what is signed: text in armor headers is no field", async () => {
  const file = await signed(text, [main]);
  const forged = file.replace("Hash: SHA", "Codename: trixie\nHash: SHA");
  assert.notEqual(forged, file);
  await assert.rejects(read(forged), refusal("signature", /cannot be read/));
});

test("readRelease refuses what is expired, from the future, or older than what was seen", async () => {
  const file = await signed(text, [main]);
  const late = { now: new Date("2026-11-29T00:00:00Z") };
  await assert.rejects(
    read(file, late),
    refusal(
      "expired",
      /until 2026-11-28T02:10:46.000Z and now is 2026-11-29.*--ignore-valid-until/,
    ),
  );
  assert.ok(await read(file, { ...late, ignoreValidUntil: true }));

  const future = text.replace("Sat, 21 Nov 2026", "Wed, 25 Nov 2026");
  await assert.rejects(read(await signed(future, [main])), refusal("expired", /clock/));
  const hours = text.replace("Sat, 21 Nov 2026", "Tue, 24 Nov 2026");
  assert.ok(await read(await signed(hours, [main])));

  const newestSeen = new Date("2026-11-21T02:10:47Z");
  await assert.rejects(read(file, { newestSeen }), refusal("expired", /was seen before/));
  assert.ok(await read(file, { newestSeen: new Date("2026-11-21T02:10:46Z") }));
});

test("parseRelease refuses fields that make no sense", () => {
  const table: readonly (readonly [string, RegExp])[] = [
    ["", /0 paragraphs/],
    [`${text}\n${text}`, /2 paragraphs/],
    [text.replace(/^Date.*\n/m, ""), /no field Date/],
    [text.replace(/^Date.*$/m, "Date: yesterday"), /the date "yesterday"/],
    [text.replace(/^Date.*$/m, "Date: Sat, 99 Nov 2026 02:10:46 UTC"), /the date/],
    [text.replace(/^Valid-Until.*$/m, "Valid-Until: never"), /field Valid-Until/],
    [text.replace(` ${hash}`, " 1234"), /the line/],
    [text.replace(/^SHA256:[\s\S]*/m, ""), /no files/],
    [text.replace("Origin:", "Origin"), /no field name in line 1/],
  ];
  for (const [value, message] of table) {
    assert.throws(() => parseRelease(value, "it"), refusal("signature", message));
  }
});

test("readRelease ends with a release or an ImageError, whichever byte is changed", async () => {
  const file = new TextEncoder().encode(await signed(text, [main]));
  const change = fc.tuple(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }));
  await fc.assert(
    fc.asyncProperty(change, async ([index, mask]) => {
      const changed = file.slice();
      changed[index]! ^= mask;
      try {
        const release = await read(changed);
        assert.equal(release.files.get("main/binary-amd64/Packages.xz")?.sha256, hash);
      } catch (error) {
        assert.ok(error instanceof ImageError, String(error));
      }
    }),
    { seed: 20261123, numRuns: 200 },
  );
});
