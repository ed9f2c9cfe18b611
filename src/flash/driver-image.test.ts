import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { crc32, deflateRawSync, gzipSync, zstdCompressSync } from "node:zlib";
import {
  createMessage,
  generateKey,
  readPrivateKey,
  readSignature,
  sign as signOpenpgp,
} from "openpgp";
import { openImage } from "./driver-image.ts";
import { FlashError, type FlashErrorCode } from "./error.ts";
import { openHasher } from "./integrity/driver-hasher.ts";
import { parseKey } from "./integrity/sidecars.ts";
import { PiecePool } from "./piece.ts";
import { MiB, noise, scratchFolder } from "./testing/fixtures.ts";

const image = noise(3 * MiB + 700);
image.fill(0, MiB, 2 * MiB + 1000);
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

interface Files {
  readonly [name: string]: Uint8Array | string;
}

/** Opens the image `name` among files, and reads it to its end. */
async function readImage(name: string, files: Files, keyName?: string): Promise<Buffer> {
  await using folder = await scratchFolder();
  for (const [each, data] of Object.entries(files)) await writeFile(join(folder.path, each), data);
  await using hasher = openHasher();
  const key = keyName ? await parseKey(Buffer.from(files[keyName] ?? ""), keyName) : undefined;
  await using opened = await openImage(join(folder.path, name), {
    hasher,
    clock: () => 0,
    ...(key ? { key } : {}),
  });
  const found: Buffer[] = [];
  for await (const piece of opened.pieces(new PiecePool(4))) {
    found.push(piece.data ? Buffer.from(piece.data) : Buffer.alloc(piece.lengthBytes));
    piece.release();
  }
  return Buffer.concat(found);
}

async function codeOf(
  name: string,
  files: Files,
  keyName?: string,
): Promise<FlashErrorCode | "none"> {
  try {
    await readImage(name, files, keyName);
    return "none";
  } catch (error) {
    assert.ok(error instanceof FlashError, String(error));
    return error.code;
  }
}

function zipOf(
  entries: readonly (readonly [name: string, data: Uint8Array])[],
  wrongCrc = 0,
): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let at = 0;
  for (const [name, data] of entries) {
    const packed = deflateRawSync(data);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(8, 4);
    fields.writeUInt32LE((crc32(data) + wrongCrc) % 2 ** 32, 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(data.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([
      Buffer.from("504b0304", "hex"),
      fields,
      Buffer.from(name),
      packed,
    ]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(at, 10);
    const version = Buffer.from([20, 0]);
    central.push(Buffer.from("504b0102", "hex"), version, fields, tail, Buffer.from(name));
    parts.push(local);
    at += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...parts, directory, Buffer.from("504b0506", "hex"), end]);
}

function bmapOf(
  data: Uint8Array,
  changes: { readonly hash?: string; readonly size?: number } = {},
) {
  const range = (first: number, last: number) => {
    const hash = changes.hash ?? sha256(data.subarray(first * 4096, (last + 1) * 4096));
    return `<Range chksum="${hash}"> ${first}-${last} </Range>`;
  };
  const last = Math.ceil(data.length / 4096) - 1;
  const text = `<?xml version="1.0" ?>
<bmap version="2.0">
  <ImageSize> ${changes.size ?? data.length} </ImageSize>
  <BlockSize> 4096 </BlockSize>
  <ChecksumType> sha256 </ChecksumType>
  <BmapFileChecksum> ${"0".repeat(64)} </BmapFileChecksum>
  <BlockMap>${range(0, 255)}${range(512, last)}</BlockMap>
</bmap>`;
  return text.replace("0".repeat(64), sha256(Buffer.from(text)));
}

test("openImage gives the same image however it is packed, and finds out by content", async () => {
  const packed: readonly (readonly [string, Uint8Array])[] = [
    ["image.raw", image],
    ["image.zst", gzipSync(image)],
    ["image.gz", zstdCompressSync(image)],
    [
      "image",
      zipOf([
        ["folder/", new Uint8Array()],
        ["os.img", image],
        ["__MACOSX/x", image],
      ]),
    ],
    ["image.zip", zipOf([["os.img.gz", gzipSync(image)]])],
  ];
  for (const [name, data] of packed) {
    assert.ok((await readImage(name, { [name]: data })).equals(image), name);
  }
});

test("openImage reads a stream", async () => {
  await using hasher = openHasher();
  const stdin = Readable.from([Buffer.from(gzipSync(image))]);
  await using opened = await openImage("-", { hasher, clock: () => 0, stdin });
  let length = 0;
  for await (const piece of opened.pieces(new PiecePool(4))) {
    length += piece.lengthBytes;
    piece.release();
  }
  assert.equal(length, image.length);
  assert.deepEqual(opened.facts.packing, ["gzip"]);
  assert.equal(opened.facts.sizeBytes, undefined);
});

test("openImage refuses what is no image, each by its name", async () => {
  const qcow2 = Buffer.alloc(4096);
  qcow2.write("QFI\xfb", "latin1");
  const vhd = Buffer.concat([image.subarray(0, 4096), Buffer.from("conectix".padEnd(512, "\0"))]);
  const twice = gzipSync(gzipSync(gzipSync(image.subarray(0, 100))));
  const table: readonly (readonly [FlashErrorCode, string, Uint8Array])[] = [
    ["format", "a qcow2", qcow2],
    ["format", "a packed qcow2", gzipSync(qcow2)],
    ["format", "a fixed VHD", vhd],
    ["format", "one packed three times", twice],
    [
      "format",
      "an archive of two files",
      zipOf([
        ["a", image],
        ["b", image],
      ]),
    ],
    ["format", "an archive of none", zipOf([])],
    ["corrupt", "an archive with a wrong checksum", zipOf([["a", image]], 1)],
    ["truncated", "an archive that is cut", zipOf([["a", image]]).subarray(0, 1000)],
    ["truncated", "packed data that is cut", gzipSync(image).subarray(0, 5000)],
    ["length", "an empty file", new Uint8Array()],
  ];
  for (const [code, what, data] of table) {
    assert.equal(await codeOf("image", { image: data }), code, what);
  }
  assert.equal(await codeOf("nothing", {}), "source-missing");
});

test("openImage checks the SHA-256 beside a file, in each form, and refuses a wrong one", async () => {
  const packed = gzipSync(image);
  const good = sha256(packed);
  const bad = sha256(image);
  const table: readonly (readonly [FlashErrorCode | "none", Files])[] = [
    ["none", { "os.gz.sha256": `${good}  os.gz\n` }],
    ["none", { "os.gz.sha256": `${good.toUpperCase()}\n` }],
    ["none", { SHA256SUMS: `${bad}  other\n${good} *./os.gz\n` }],
    ["none", { SHA256SUMS: `SHA256 (os.gz) = ${good}\n` }],
    ["none", { SHA256SUMS: `${bad}  another\n` }],
    ["none", { "os.SHA256SUMS": `${good}  os.gz\n` }],
    ["checksum", { "os.SHA256SUMS": `${bad}  os.gz\n` }],
    ["checksum", { "os.gz.sha256": `${bad}  os.gz\n` }],
    ["checksum", { SHA256SUMS: `${bad}  os.gz\n` }],
    ["sidecar", { "os.gz.sha256": "no sum\n" }],
    ["sidecar", { SHA256SUMS: `${bad}  os.gz\n${good}  os.gz\n` }],
  ];
  for (const [code, files] of table) {
    const found = await codeOf("os.gz", { "os.gz": packed, ...files });
    assert.equal(found, code, JSON.stringify(files));
  }
  const zip = zipOf([["os.img", image]]);
  const withSum = (hex: string) => ({ "os.zip": zip, "os.zip.sha256": hex });
  assert.equal(await codeOf("os.zip", withSum(sha256(zip))), "none");
  assert.equal(await codeOf("os.zip", withSum(bad)), "checksum");
});

test("openImage goes by a block map: holes become zeros, and mapped blocks are checked", async () => {
  const dirty = Uint8Array.from(image).fill(7, MiB, 2 * MiB);
  const clean = Uint8Array.from(dirty).fill(0, MiB, 2 * MiB);
  const files = { "os.raw.zst": zstdCompressSync(dirty), "os.raw.bmap": bmapOf(dirty) };
  assert.ok((await readImage("os.raw.zst", files)).equals(clean));
  const table: readonly (readonly [FlashErrorCode, string])[] = [
    ["checksum", bmapOf(dirty, { hash: "1".repeat(64) })],
    ["truncated", bmapOf(dirty, { size: image.length + 4096 })],
    ["checksum", bmapOf(dirty, { size: image.length - 4096 })],
    ["sidecar", bmapOf(dirty).replace("4096", "8192")],
    ["sidecar", bmapOf(dirty).replace('"2.0"', '"1.4"')],
    ["sidecar", "<bmap"],
    ["sidecar", "rubbish"],
  ];
  for (const [code, map] of table) {
    const found = await codeOf("os.raw.zst", { ...files, "os.raw.bmap": map });
    assert.equal(found, code, map.slice(0, 300));
  }
});

test("openImage checks minisign signatures by the key that is given", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(String(publicKey.export({ format: "jwk" }).x), "base64url");
  const id = Buffer.from("0102030405060708", "hex");
  const keyOf = (keyId: Buffer) =>
    `untrusted comment: key\n${Buffer.concat([Buffer.from("Ed"), keyId, raw]).toString("base64")}\n`;
  const signed = (data: Uint8Array, algorithm = "ED") => {
    const hash = createHash("blake2b512").update(data).digest();
    const signature = sign(null, hash, privateKey);
    const comment = "timestamp:1";
    const global = sign(null, Buffer.concat([signature, Buffer.from(comment)]), privateKey);
    const first = Buffer.concat([Buffer.from(algorithm), id, signature]).toString("base64");
    return `untrusted comment: s\n${first}\ntrusted comment: ${comment}\n${global.toString("base64")}\n`;
  };
  const files = { "os.raw": image, "key.pub": keyOf(id) };
  const good = signed(image);
  const table: readonly (readonly [FlashErrorCode | "none", Files])[] = [
    ["none", { "os.raw.minisig": good }],
    ["signature", { "os.raw.minisig": signed(image.subarray(1)) }],
    ["signature", { "os.raw.minisig": good.replace("timestamp:1", "timestamp:2") }],
    ["signature", { "os.raw.minisig": signed(image, "Ed") }],
    ["signature", { "os.raw.minisig": "rubbish" }],
    ["signature", { "os.raw.minisig": good, "key.pub": keyOf(Buffer.alloc(8, 9)) }],
    ["signature", {}],
    ["sidecar", { "os.raw.minisig": good, "key.pub": "no key" }],
  ];
  for (const [code, changes] of table) {
    assert.equal(await codeOf("os.raw", { ...files, ...changes }, "key.pub"), code);
  }
  const sums = `${sha256(image)}  os.raw\n`;
  const bySums = { ...files, SHA256SUMS: sums, "SHA256SUMS.minisig": signed(Buffer.from(sums)) };
  assert.equal(await codeOf("os.raw", bySums, "key.pub"), "none");
  const other = { ...bySums, SHA256SUMS: `${sums}\n` };
  assert.equal(await codeOf("os.raw", other, "key.pub"), "signature");
});

test("openImage checks detached OpenPGP signatures by the key that is given", async () => {
  const makeKey = () => generateKey({ userIDs: [{ name: "Test" }], type: "ecc" });
  const [{ privateKey: armored, publicKey }, other] = await Promise.all([makeKey(), makeKey()]);
  const signingKeys = await readPrivateKey({ armoredKey: armored });
  const armoured = async (binary: Uint8Array) =>
    await signOpenpgp({ message: await createMessage({ binary }), signingKeys, detached: true });
  const files = { "os.raw": image, "key.asc": publicKey };
  const good = await armoured(image);
  const binary = (await readSignature({ armoredSignature: good })).write() as Uint8Array;
  const table: readonly (readonly [FlashErrorCode | "none", Files])[] = [
    ["none", { "os.raw.asc": good }],
    ["none", { "os.raw.sig": binary }],
    ["signature", { "os.raw.sig": await armoured(image.subarray(1)) }],
    ["signature", { "os.raw.sig": "rubbish" }],
    ["signature", { "os.raw.asc": good, "key.asc": other.publicKey }],
    ["signature", {}],
  ];
  for (const [code, changes] of table) {
    assert.equal(await codeOf("os.raw", { ...files, ...changes }, "key.asc"), code);
  }
});

test("openImage says of an address that makes no sense that it does not", async () => {
  await using hasher = openHasher();
  for (const location of ["http:///", "https://[::1", "http://host:port/os.raw"]) {
    await assert.rejects(
      openImage(location, { hasher, clock: () => 0 }),
      (error) => error instanceof FlashError && /it is no address of a file/.test(error.message),
    );
  }
});

test("openImage says which file beside an image was of no use, and why", async () => {
  const sum = `${sha256(image)}  os-1.2.raw\n`;
  for (const [beside, text, note] of [
    ["os.raw.sha256", sum, /^os\.raw\.sha256 was not used: it speaks of other files than os\.raw$/],
    ["os.raw.asc", "anything", /^os\.raw\.asc was not checked: give its public key with --key$/],
    ["SHA256SUMS", sum, undefined],
  ] as const) {
    await using folder = await scratchFolder();
    await using hasher = openHasher();
    await writeFile(join(folder.path, beside), text);
    await writeFile(join(folder.path, "os.raw"), image);
    await using opened = await openImage(join(folder.path, "os.raw"), { hasher, clock: () => 0 });
    const { checkedBy, notes } = opened.facts;
    assert.deepEqual(checkedBy, []);
    assert.equal(notes.length, note ? 1 : 0, beside);
    if (note) assert.match(notes[0] ?? "", note);
  }
});
